//! gRPC methods known in advance.
//!
//! The RPC conventions allow a method's name on a span only if it is known beforehand; any other
//! is `_OTHER`, so that callers can't mint names. What is built in covers the places tracegate
//! stands in: etcd, the CRI socket, health checks and OTLP.

use std::collections::HashSet;

/// Services and their methods; a name on the wire is `/service/method`.
const BUILT_IN: &[(&str, &[&str])] = &[
    (
        "etcdserverpb.KV",
        &["Range", "Put", "DeleteRange", "Txn", "Compact"],
    ),
    ("etcdserverpb.Watch", &["Watch"]),
    (
        "etcdserverpb.Lease",
        &[
            "LeaseGrant",
            "LeaseRevoke",
            "LeaseKeepAlive",
            "LeaseTimeToLive",
            "LeaseLeases",
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            "MemberAdd",
            "MemberRemove",
            "MemberUpdate",
            "MemberList",
            "MemberPromote",
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            "Alarm",
            "Status",
            "Defragment",
            "Hash",
            "HashKV",
            "Snapshot",
            "MoveLeader",
            "Downgrade",
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            "AuthEnable",
            "AuthDisable",
            "AuthStatus",
            "Authenticate",
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        ],
    ),
    (
        "v3electionpb.Election",
        &["Campaign", "Proclaim", "Leader", "Observe", "Resign"],
    ),
    ("v3lockpb.Lock", &["Lock", "Unlock"]),
    (
        "runtime.v1.RuntimeService",
        &[
            "Version",
            "RunPodSandbox",
            "StopPodSandbox",
            "RemovePodSandbox",
            "PodSandboxStatus",
            "ListPodSandbox",
            "CreateContainer",
            "StartContainer",
            "StopContainer",
            "RemoveContainer",
            "ListContainers",
            "ContainerStatus",
            "UpdateContainerResources",
            "ReopenContainerLog",
            "ExecSync",
            "Exec",
            "Attach",
            "PortForward",
            "ContainerStats",
            "ListContainerStats",
            "PodSandboxStats",
            "ListPodSandboxStats",
            "UpdateRuntimeConfig",
            "Status",
            "CheckpointContainer",
            "GetContainerEvents",
            "ListMetricDescriptors",
            "ListPodSandboxMetrics",
            "RuntimeConfig",
            "UpdatePodSandboxResources",
        ],
    ),
    (
        "runtime.v1.ImageService",
        &[
            "ListImages",
            "ImageStatus",
            "PullImage",
            "RemoveImage",
            "ImageFsInfo",
        ],
    ),
    ("grpc.health.v1.Health", &["Check", "Watch", "List"]),
    (
        "opentelemetry.proto.collector.trace.v1.TraceService",
        &["Export"],
    ),
    (
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        &["Export"],
    ),
    (
        "opentelemetry.proto.collector.logs.v1.LogsService",
        &["Export"],
    ),
];

/// The set of gRPC methods whose names may stand on spans.
#[derive(Clone, Debug)]
pub struct KnownMethods(HashSet<Box<str>>);

impl KnownMethods {
    /// The built-in methods and the configured ones, each `package.Service/Method`; a leading
    /// slash is tolerated.
    pub fn new<I>(configured: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let built_in = BUILT_IN.iter().flat_map(|(service, methods)| {
            methods
                .iter()
                .map(move |method| format!("{service}/{method}").into_boxed_str())
        });
        let configured = configured.into_iter().map(|name| {
            let name = name.as_ref();
            Box::from(name.strip_prefix('/').unwrap_or(name))
        });
        Self(built_in.chain(configured).collect())
    }

    /// The method a request's path names (`package.Service/Method`), if it is known.
    pub fn method(&self, path: &str) -> Option<&str> {
        self.0.get(path.strip_prefix('/')?).map(AsRef::as_ref)
    }
}

impl Default for KnownMethods {
    fn default() -> Self {
        Self::new(std::iter::empty::<&str>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_and_configured_methods_are_known_and_no_others() {
        let known = KnownMethods::new(["shop.Cart/Add", "/shop.Cart/Remove"]);
        for (path, expected, why) in [
            (
                "/etcdserverpb.KV/Range",
                Some("etcdserverpb.KV/Range"),
                "etcd",
            ),
            (
                "/v3lockpb.Lock/Unlock",
                Some("v3lockpb.Lock/Unlock"),
                "etcd's lock service",
            ),
            (
                "/runtime.v1.ImageService/PullImage",
                Some("runtime.v1.ImageService/PullImage"),
                "CRI",
            ),
            (
                "/grpc.health.v1.Health/Check",
                Some("grpc.health.v1.Health/Check"),
                "health",
            ),
            ("/shop.Cart/Add", Some("shop.Cart/Add"), "configured"),
            (
                "/shop.Cart/Remove",
                Some("shop.Cart/Remove"),
                "configured with a slash",
            ),
            (
                "/etcdserverpb.KV/Nope",
                None,
                "known service, unknown method",
            ),
            ("etcdserverpb.KV/Range", None, "a path begins with a slash"),
            ("//etcdserverpb.KV/Range", None, "one slash only"),
            ("/etcdserverpb.kv/range", None, "names are case-sensitive"),
            ("", None, "no path"),
        ] {
            assert_eq!(known.method(path), expected, "{why}");
        }
    }
}

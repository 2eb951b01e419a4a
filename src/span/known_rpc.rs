//! gRPC methods known in advance.
//!
//! The RPC conventions allow a method's name on a span only if it is known beforehand; any other
//! is `_OTHER`, so that callers can't mint names. What is built in covers the places tracegate
//! stands in: etcd, the CRI socket, health checks and OTLP.

use std::collections::HashMap;

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

/// The set of gRPC methods whose names may stand on spans and metrics.
#[derive(Clone, Debug)]
pub struct KnownMethods {
    names: Vec<Box<str>>,
    indices: HashMap<Box<str>, u16>,
}

impl KnownMethods {
    /// The built-in methods and the configured ones, each `package.Service/Method`; a leading
    /// slash is tolerated. Beyond 65536 methods none is known.
    pub fn new<I>(configured: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut known = Self {
            names: Vec::new(),
            indices: HashMap::new(),
        };
        for (service, methods) in BUILT_IN {
            for method in *methods {
                known.add(&format!("{service}/{method}"));
            }
        }
        for name in configured {
            let name = name.as_ref();
            known.add(name.strip_prefix('/').unwrap_or(name));
        }
        known
    }

    fn add(&mut self, name: &str) {
        let Ok(next) = u16::try_from(self.names.len()) else {
            return;
        };
        if !self.indices.contains_key(name) {
            self.indices.insert(name.into(), next);
            self.names.push(name.into());
        }
    }

    /// The method a request's path names (`package.Service/Method`), if it is known.
    pub fn method(&self, path: &str) -> Option<&str> {
        self.name(self.index(path)?)
    }

    /// A number that stands for the method a request's path names, if it is known.
    pub fn index(&self, path: &str) -> Option<u16> {
        self.indices.get(path.strip_prefix('/')?).copied()
    }

    /// The method an [index](Self::index) stands for.
    pub fn name(&self, index: u16) -> Option<&str> {
        self.names.get(usize::from(index)).map(AsRef::as_ref)
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

//! The groups, versions and resources of Kubernetes itself, whose names may stand in routes.
//!
//! What the API server of 1.36 can serve with every version switched on, and the metrics API that
//! clusters commonly add. A name that is missing costs a placeholder in its place.

/// An API group.
pub(super) struct Group {
    /// Its name; the core group's is empty.
    pub name: &'static str,
    /// Versions, those of earlier releases that are still asked for included.
    pub versions: &'static [&'static str],
    /// Resources with their subresources.
    pub resources: &'static [(&'static str, &'static [&'static str])],
}

const STATUS: &[&str] = &["status"];
const SCALED: &[&str] = &["scale", "status"];

/// Every group, sorted by name.
#[rustfmt::skip]
pub(super) const GROUPS: &[Group] = &[
    Group { name: "", versions: &["v1"], resources: &[
        ("bindings", &[]),
        ("componentstatuses", &[]),
        ("configmaps", &[]),
        ("endpoints", &[]),
        ("events", &[]),
        ("limitranges", &[]),
        ("namespaces", &["finalize", "status"]),
        ("nodes", &["proxy", "status"]),
        ("persistentvolumeclaims", STATUS),
        ("persistentvolumes", STATUS),
        ("pods", &["attach", "binding", "ephemeralcontainers", "eviction", "exec", "log",
                   "portforward", "proxy", "resize", "status"]),
        ("podtemplates", &[]),
        ("replicationcontrollers", SCALED),
        ("resourcequotas", STATUS),
        ("secrets", &[]),
        ("serviceaccounts", &["token"]),
        ("services", &["proxy", "status"]),
    ] },
    Group { name: "admissionregistration.k8s.io", versions: &["v1", "v1alpha1", "v1beta1"], resources: &[
        ("mutatingadmissionpolicies", &[]),
        ("mutatingadmissionpolicybindings", &[]),
        ("mutatingwebhookconfigurations", &[]),
        ("validatingadmissionpolicies", STATUS),
        ("validatingadmissionpolicybindings", &[]),
        ("validatingwebhookconfigurations", &[]),
    ] },
    Group { name: "apiextensions.k8s.io", versions: &["v1"], resources: &[
        ("customresourcedefinitions", STATUS),
    ] },
    Group { name: "apiregistration.k8s.io", versions: &["v1"], resources: &[
        ("apiservices", STATUS),
    ] },
    Group { name: "apps", versions: &["v1"], resources: &[
        ("controllerrevisions", &[]),
        ("daemonsets", STATUS),
        ("deployments", SCALED),
        ("replicasets", SCALED),
        ("statefulsets", SCALED),
    ] },
    Group { name: "authentication.k8s.io", versions: &["v1", "v1alpha1", "v1beta1"], resources: &[
        ("selfsubjectreviews", &[]),
        ("tokenreviews", &[]),
    ] },
    Group { name: "authorization.k8s.io", versions: &["v1"], resources: &[
        ("localsubjectaccessreviews", &[]),
        ("selfsubjectaccessreviews", &[]),
        ("selfsubjectrulesreviews", &[]),
        ("subjectaccessreviews", &[]),
    ] },
    Group { name: "autoscaling", versions: &["v1", "v2"], resources: &[
        ("horizontalpodautoscalers", STATUS),
    ] },
    Group { name: "batch", versions: &["v1"], resources: &[
        ("cronjobs", STATUS),
        ("jobs", STATUS),
    ] },
    Group { name: "certificates.k8s.io", versions: &["v1", "v1alpha1", "v1beta1"], resources: &[
        ("certificatesigningrequests", &["approval", "status"]),
        ("clustertrustbundles", &[]),
        ("podcertificaterequests", STATUS),
    ] },
    Group { name: "coordination.k8s.io", versions: &["v1", "v1alpha1", "v1alpha2", "v1beta1"], resources: &[
        ("leasecandidates", &[]),
        ("leases", &[]),
    ] },
    Group { name: "discovery.k8s.io", versions: &["v1"], resources: &[
        ("endpointslices", &[]),
    ] },
    Group { name: "events.k8s.io", versions: &["v1"], resources: &[
        ("events", &[]),
    ] },
    Group { name: "flowcontrol.apiserver.k8s.io", versions: &["v1", "v1beta3"], resources: &[
        ("flowschemas", STATUS),
        ("prioritylevelconfigurations", STATUS),
    ] },
    Group { name: "internal.apiserver.k8s.io", versions: &["v1alpha1"], resources: &[
        ("storageversions", STATUS),
    ] },
    Group { name: "metrics.k8s.io", versions: &["v1beta1"], resources: &[
        ("nodes", &[]),
        ("pods", &[]),
    ] },
    Group { name: "networking.k8s.io", versions: &["v1", "v1beta1"], resources: &[
        ("ingressclasses", &[]),
        ("ingresses", STATUS),
        ("ipaddresses", &[]),
        ("networkpolicies", &[]),
        ("servicecidrs", STATUS),
    ] },
    Group { name: "node.k8s.io", versions: &["v1"], resources: &[
        ("runtimeclasses", &[]),
    ] },
    Group { name: "policy", versions: &["v1"], resources: &[
        ("poddisruptionbudgets", STATUS),
    ] },
    Group { name: "rbac.authorization.k8s.io", versions: &["v1"], resources: &[
        ("clusterrolebindings", &[]),
        ("clusterroles", &[]),
        ("rolebindings", &[]),
        ("roles", &[]),
    ] },
    Group { name: "resource.k8s.io", versions: &["v1", "v1alpha3", "v1beta1", "v1beta2"], resources: &[
        ("deviceclasses", &[]),
        ("devicetaintrules", STATUS),
        ("resourceclaims", STATUS),
        ("resourceclaimtemplates", &[]),
        ("resourceslices", &[]),
    ] },
    Group { name: "scheduling.k8s.io", versions: &["v1", "v1alpha1", "v1alpha2"], resources: &[
        ("podgroups", STATUS),
        ("priorityclasses", &[]),
        ("workloads", STATUS),
    ] },
    Group { name: "storage.k8s.io", versions: &["v1", "v1alpha1", "v1beta1"], resources: &[
        ("csidrivers", &[]),
        ("csinodes", &[]),
        ("csistoragecapacities", &[]),
        ("storageclasses", &[]),
        ("volumeattachments", STATUS),
        ("volumeattributesclasses", &[]),
    ] },
    Group { name: "storagemigration.k8s.io", versions: &["v1alpha1", "v1beta1"], resources: &[
        ("storageversionmigrations", STATUS),
    ] },
];

//! The command line's share of the configuration.

use super::fault::{At, Origin, Report};
use super::otel_env::put;
use super::raw::{Node, Value};
use super::resolve::{API_VERSION, KIND};

/// The flags of `tracegate run` that are settings; values as typed, validated with the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen ADDR`
    pub listen: Option<String>,
    /// `--upstream URL`
    pub upstream: Option<String>,
    /// `--direction ingress|egress`
    pub direction: Option<String>,
    /// `--trust drop|ids|full`
    pub trust: Option<String>,
    /// `--protocol P`
    pub protocol: Option<String>,
    /// `--upstream-protocol P`
    pub upstream_protocol: Option<String>,
    /// `--sampling-rate-per-million N`
    pub sampling_rate_per_million: Option<String>,
    /// `--otlp-endpoint URL`
    pub otlp_endpoint: Option<String>,
    /// `--admin ADDR`
    pub admin: Option<String>,
}

impl Flags {
    /// The flags that describe a listener, and so leave no room for a file.
    fn of_listener(&self) -> [(&'static str, &Option<String>); 6] {
        [
            ("--listen", &self.listen),
            ("--upstream", &self.upstream),
            ("--direction", &self.direction),
            ("--trust", &self.trust),
            ("--protocol", &self.protocol),
            ("--upstream-protocol", &self.upstream_protocol),
        ]
    }

    /// A fault for each flag that has no place beside a file.
    pub(super) fn refuse_beside_file(&self, report: &Report) {
        for (name, value) in self.of_listener() {
            if value.is_some() {
                let at = At::origin(Origin::Flag(name));
                report.fault(&at, "", "not beside --config: the file's listeners apply");
            }
        }
    }

    /// The tree of one listener called `default`, as a file would describe it.
    pub(super) fn tree(&self, report: &Report) -> Option<Node> {
        let nowhere = At::origin(Origin::CommandLine);
        if self.of_listener().iter().all(|(_, value)| value.is_none()) {
            let message = "expected --config FILE, or --listen ADDR and --upstream URL";
            report.fault(&nowhere, "", message);
            return None;
        }
        for (name, value) in [("--listen", &self.listen), ("--upstream", &self.upstream)] {
            if value.is_none() {
                report.fault(&nowhere, "", format!("expected {name} too"));
            }
        }
        let mut listener = Node::mapping(&nowhere);
        listener.set(&["name"], Node::quoted(&nowhere, "default"));
        let paths: [&[&str]; 6] = [
            &["bind"],
            &["upstream", "url"],
            &["direction"],
            &["trust", "default"],
            &["protocol"],
            &["upstream", "protocol"],
        ];
        for ((name, value), path) in self.of_listener().into_iter().zip(paths) {
            if let Some(value) = value {
                listener.set(path, flag(name, value));
            }
        }
        let mut root = Node::mapping(&nowhere);
        root.set(&["apiVersion"], Node::quoted(&nowhere, API_VERSION));
        root.set(&["kind"], Node::quoted(&nowhere, KIND));
        let listeners = Node {
            at: nowhere,
            value: Value::Sequence(vec![listener]),
        };
        root.set(&["listeners"], listeners);
        (self.listen.is_some() && self.upstream.is_some()).then_some(root)
    }

    /// Lays the flags that any configuration takes over the tree.
    pub(super) fn overlay(&self, root: &mut Node, report: &Report) {
        let flags: [(&'static str, &Option<String>, &[&str]); 3] = [
            (
                "--sampling-rate-per-million",
                &self.sampling_rate_per_million,
                &["tracing", "samplingRatePerMillion"],
            ),
            (
                "--otlp-endpoint",
                &self.otlp_endpoint,
                &["tracing", "export", "endpoint"],
            ),
            ("--admin", &self.admin, &["admin", "bind"]),
        ];
        for (name, value, path) in flags {
            if let Some(value) = value {
                put(root, path, flag(name, value), report);
            }
        }
    }
}

fn flag(name: &'static str, value: &str) -> Node {
    Node::plain(&At::origin(Origin::Flag(name)), value)
}

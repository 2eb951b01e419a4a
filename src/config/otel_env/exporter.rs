//! `OTEL_TRACES_EXPORTER`, `OTEL_SDK_DISABLED` and `OTEL_EXPORTER_OTLP_*`.

use super::{ENDPOINT, Env, TRACES_ENDPOINT, Variable, lists};
use crate::config::raw::{Entry, Node, Value};
use crate::config::words::show;

const OTLP: [&str; 2] = ["grpc", "http/protobuf"];

/// How spans travel.
pub(super) struct Travel {
    /// By gRPC.
    pub grpc: bool,
    /// A variable had a say in it.
    pub chosen: bool,
}

pub(super) fn overlay(env: &Env<'_>, root: &mut Node) -> Travel {
    let before = protocols(root);
    let (after, chosen) = protocol(env, root, before);
    let grpc = after.iter().any(|p| p == "grpc");
    endpoint(env, root, grpc);
    headers(env, root);
    let compression = env.first([
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    ]);
    if let Some(variable) = compression {
        let words = [("none", "none"), ("gzip", "gzip"), ("zstd", "zstd")];
        if let Some(word) = variable.word(&words) {
            variable.put_plain(root, &["tracing", "export", "compression"], word);
        }
    }
    let timeout = env.first([
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ]);
    if let Some(variable) = timeout
        && let Some(timeout) = variable.milliseconds()
    {
        let path = ["tracing", "export", "timeout"];
        variable.put_plain(root, &path, format!("{}ms", timeout.as_millis()));
    }
    tls(env, root);
    Travel { grpc, chosen }
}

/// The protocols the tree names so far, as words; faults in them are reported elsewhere.
fn protocols(root: &Node) -> Vec<String> {
    let text = |node: &Node| match &node.value {
        Value::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    };
    match root.get(&["tracing", "export", "protocol"]) {
        None => vec!["grpc".to_owned()],
        Some(node) => match &node.value {
            Value::Sequence(items) => items.iter().filter_map(text).collect(),
            _ => text(node).into_iter().collect(),
        },
    }
}

/// Which exporters, and how OTLP travels. The result is the list that then applies, and whether a
/// variable had a say in it.
fn protocol(env: &Env<'_>, root: &mut Node, mut list: Vec<String>) -> (Vec<String>, bool) {
    let mut decided: Option<Variable<'_>> = None;
    if let Some(variable) = env.get("OTEL_TRACES_EXPORTER")
        && let Some(chosen) = exporters(&variable, &list)
    {
        list = chosen;
        decided = Some(variable);
    }
    let transport = env.first([
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ]);
    if let Some(variable) = transport
        && let Some(word) = variable.word(&[(OTLP[0], OTLP[0]), (OTLP[1], OTLP[1])])
        && list.iter().any(|p| OTLP.contains(&p.as_str()))
    {
        list.retain(|p| !OTLP.contains(&p.as_str()));
        list.insert(0, word.to_owned());
        decided = Some(variable);
    }
    if let Some(variable) = env.get("OTEL_SDK_DISABLED")
        && variable.boolean() == Some(true)
    {
        list = vec!["none".to_owned()];
        decided = Some(variable);
    }
    let chosen = decided.is_some();
    if let Some(variable) = decided {
        let items = list.iter().map(|p| Node::plain(&variable.at, p)).collect();
        let node = Node {
            at: variable.at.clone(),
            value: Value::Sequence(items),
        };
        variable.put(root, &["tracing", "export", "protocol"], node);
    }
    (list, chosen)
}

/// What `OTEL_TRACES_EXPORTER` chooses; `otlp` is what the file says of OTLP, else gRPC.
fn exporters(variable: &Variable<'_>, file: &[String]) -> Option<Vec<String>> {
    let mut list: Vec<String> = Vec::new();
    let mut add = |word: &str| {
        if !list.iter().any(|p| p == word) {
            list.push(word.to_owned());
        }
    };
    let lower = variable.value.to_ascii_lowercase();
    for name in lower.split(',').map(str::trim) {
        match name {
            "otlp" => {
                let mut of_file = file
                    .iter()
                    .filter(|p| OTLP.contains(&p.as_str()))
                    .peekable();
                if of_file.peek().is_none() {
                    add("grpc");
                }
                of_file.for_each(|p| add(p));
            }
            "console" | "none" => add(name),
            _ => {
                let got = show(variable.value);
                variable.fault(format!("expected otlp, console or none; got {got}"));
                return None;
            }
        }
    }
    if list.len() > 1 && list.iter().any(|p| p == "none") {
        variable.fault("none can't stand beside others");
        return None;
    }
    Some(list)
}

fn endpoint(env: &Env<'_>, root: &mut Node, grpc: bool) {
    let Some(variable) = env.first([TRACES_ENDPOINT, ENDPOINT]) else {
        return;
    };
    let insecure = "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
    let scheme = scheme(env, &variable, insecure, grpc);
    let path = ["tracing", "export", "endpoint"];
    variable.put_plain(root, &path, format!("{scheme}{}", variable.value));
}

/// What is put before an endpoint without a scheme: there is no telling whether TLS was meant,
/// unless a variable says so (gRPC only).
pub(super) fn scheme(
    env: &Env<'_>,
    endpoint: &Variable<'_>,
    of_signal: &'static str,
    grpc: bool,
) -> &'static str {
    let insecure = env.first([of_signal, "OTEL_EXPORTER_OTLP_INSECURE"]);
    match insecure.and_then(|variable| variable.boolean()) {
        Some(insecure) if grpc && !endpoint.value.contains("://") => {
            if insecure {
                "http://"
            } else {
                "https://"
            }
        }
        _ => "",
    }
}

fn headers(env: &Env<'_>, root: &mut Node) {
    let Some(variable) = env.first([
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ]) else {
        return;
    };
    // Values are secrets, so a fault doesn't repeat them.
    let headers = match lists::headers(variable.value) {
        Ok(headers) => headers,
        Err(expected) => return variable.fault(format!("expected {expected}")),
    };
    let entries = headers
        .into_iter()
        .map(|(key, value)| Entry {
            key,
            at: variable.at.clone(),
            node: Node::quoted(&variable.at, value),
        })
        .collect();
    let node = Node {
        at: variable.at.clone(),
        value: Value::Mapping(entries),
    };
    variable.put(root, &["tracing", "export", "headers"], node);
}

fn tls(env: &Env<'_>, root: &mut Node) {
    let files = [
        (
            "caFile",
            [
                "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
            ],
        ),
        (
            "certFile",
            [
                "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            ],
        ),
        (
            "keyFile",
            [
                "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
                "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            ],
        ),
    ];
    for (key, names) in files {
        if let Some(variable) = env.first(names) {
            let node = Node::quoted(&variable.at, variable.value);
            variable.put(root, &["tracing", "export", "tls", key], node);
        }
    }
}

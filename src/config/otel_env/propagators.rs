//! `OTEL_PROPAGATORS`: a list of formats, read and written.

use crate::config::raw::{Node, Value};
use crate::config::words::{alternatives, show};
use crate::context::formats::Format;

use super::{Env, Variable};

/// The names the specification knows and the proxy speaks. Its own names for further formats stay
/// in the file: a variable that every process of a pod gets has to mean the same to all.
const KNOWN: [Format; 6] = [
    Format::TraceContext,
    Format::Baggage,
    Format::B3,
    Format::B3Multi,
    Format::Jaeger,
    Format::XRay,
];

pub(super) fn overlay(env: &Env<'_>, root: &mut Node) {
    let Some(variable) = env.get("OTEL_PROPAGATORS") else {
        return;
    };
    let lower = variable.value.to_ascii_lowercase();
    let names: Vec<&str> = lower.split(',').map(str::trim).collect();
    if names.iter().all(|name| *name == "none") {
        for listener in root.items_mut("listeners") {
            let node = Node::plain(&variable.at, "none");
            variable.put(listener, &["propagate"], node);
        }
        return;
    }
    let Some(inject) = formats(&variable, &names) else {
        return;
    };
    let mut extract = Vec::new();
    for format in &inject {
        // OpenTelemetry's B3 propagators read both encodings, the single one first.
        let read: &[Format] = match format {
            Format::B3 | Format::B3Multi => &[Format::B3, Format::B3Multi],
            other => std::slice::from_ref(other),
        };
        extract.extend(read);
    }
    for (key, formats) in [("extract", extract), ("inject", inject)] {
        let node = list(&variable, &formats);
        variable.put(root, &["propagation", key], node);
    }
}

fn formats(variable: &Variable<'_>, names: &[&str]) -> Option<Vec<Format>> {
    let format = |name: &str| KNOWN.into_iter().find(|format| format.as_str() == name);
    let read: Option<Vec<_>> = names.iter().map(|name| format(name)).collect();
    if read.is_none() {
        let expected = alternatives(KNOWN.iter().map(|format| format.as_str()));
        let got = show(variable.value);
        variable.fault(if names.contains(&"ottrace") {
            format!(
                "ottrace (OT Trace) is not supported; expected {expected}, or none alone; got {got}"
            )
        } else {
            format!("expected {expected}, or none alone; got {got}")
        });
    }
    read
}

/// Formats as the file would list them, each once.
fn list(variable: &Variable<'_>, formats: &[Format]) -> Node {
    let mut items: Vec<Node> = Vec::new();
    for format in formats {
        let node = Node::plain(&variable.at, format.as_str());
        if !items.contains(&node) {
            items.push(node);
        }
    }
    Node {
        at: variable.at.clone(),
        value: Value::Sequence(items),
    }
}

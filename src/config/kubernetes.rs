//! `tracing.kubernetesFile`: a Kubernetes TracingConfiguration
//! (`apiserver.config.k8s.io/{v1alpha1,v1beta1,v1}`), or the `tracing` of a KubeletConfiguration
//! (`kubelet.config.k8s.io/v1beta1`).
//!
//! Accepted and refused as Kubernetes does: decoding is strict, an empty file is valid, one that
//! doesn't say what it is is the apiserver's, and endpoints are gRPC's targets ([`endpoint`]).
//! Exporting is over gRPC without TLS. What it says counts where the configuration itself says
//! nothing.

mod endpoint;

use std::sync::Arc;

use super::fault::{Origin, Report};
use super::files;
use super::otel_env::put;
use super::raw::{self, Node, Value};
use super::reader::{Field, Map};

const KUBELET: &str = "kubelet.config.k8s.io/v1beta1";
const APISERVER: [&str; 3] = [
    "apiserver.config.k8s.io/v1alpha1",
    "apiserver.config.k8s.io/v1beta1",
    "apiserver.config.k8s.io/v1",
];

/// Lays the settings of the Kubernetes file, if one is named, under the tree.
pub(super) fn underlay(root: &mut Node, report: &Report) {
    let Some((endpoint, rate)) = named(root, report) else {
        return;
    };
    let settings = [
        (["tracing", "export", "endpoint"].as_slice(), endpoint),
        (["tracing", "samplingRatePerMillion"].as_slice(), rate),
    ];
    for (path, node) in settings {
        let Some(node) = node else {
            continue;
        };
        // The same words as for any other override, the other way round.
        match root.get(path).cloned() {
            Some(own) if own.value != Value::Null => {
                let mut both = Node::mapping(&node.at);
                both.set(path, node);
                put(&mut both, path, own, report);
            }
            _ => root.set(path, node),
        }
    }
}

type Settings = (Option<Node>, Option<Node>);

fn named(root: &Node, report: &Report) -> Option<Settings> {
    root.get(&["tracing", "kubernetesFile"])?;
    let mut map = Field::root(root, report).map()?;
    map.allow_unknown();
    let mut tracing = map.get("tracing").map()?;
    tracing.allow_unknown();
    let (path, text) = files::text(&tracing.get("kubernetesFile"))?;
    parse(&text, &Arc::new(Origin::Kubernetes(path)), report)
}

/// Endpoint (as a URL) and rate.
fn parse(text: &str, origin: &Arc<Origin>, report: &Report) -> Option<Settings> {
    let mut root = raw::parse(text, origin, report)?;
    if root.value == Value::Null {
        return Some((None, None));
    }
    without_nulls(&mut root);
    let mut map = Field::root(&root, report).map()?;
    let (api_version, mut kind) = (map.get("apiVersion"), map.get("kind"));
    let kubelet = api_version.read(|text| {
        let known = text == KUBELET || APISERVER.contains(&text);
        let expected = || format!("{}, or {KUBELET}", APISERVER.join(", "));
        known.then(|| text == KUBELET).ok_or_else(expected)
    });
    // The apiserver knows its own file without being told; a kubelet doesn't.
    let kubelet = match kubelet {
        None if api_version.is_present() => {
            map.allow_unknown();
            return None;
        }
        kubelet => kubelet.unwrap_or(false),
    };
    if kubelet {
        kind = kind.required();
    }
    let expected = if kubelet {
        "KubeletConfiguration"
    } else {
        "TracingConfiguration"
    };
    kind.read(|text| {
        (text == expected)
            .then_some(())
            .ok_or_else(|| expected.to_owned())
    });
    if kubelet {
        map.allow_unknown();
        let tracing = map.get("tracing");
        return Some(settings(&tracing.map_or_empty()));
    }
    Some(settings(&map))
}

fn settings(map: &Map<'_>) -> Settings {
    let endpoint = map.get("endpoint");
    let text = endpoint.read(|text| Ok(text.to_owned()));
    let url = text.and_then(|text| match endpoint::url(&text) {
        Ok(url) => Some(Node::plain(endpoint.at(), url)),
        Err(why) => {
            endpoint.fault(format!("{why}; got \"{text}\""));
            None
        }
    });
    let rate = map.get("samplingRatePerMillion");
    let rate = sampling_rate(&rate).map(|value| Node::plain(rate.at(), value.to_string()));
    (url, rate)
}

/// Kubernetes' own limits, in its own words.
fn sampling_rate(field: &Field<'_>) -> Option<i32> {
    let rate = field.read_plain(|text| {
        text.parse::<i32>()
            .map_err(|_| "an integer of 32 bits".to_owned())
    })?;
    if rate < 0 {
        field.fault(format!("sampling rate must be positive; got \"{rate}\""));
        return None;
    }
    if rate > 1_000_000 {
        field.fault(format!(
            "sampling rate per million must be less than or equal to one million; got \"{rate}\""
        ));
        return None;
    }
    Some(rate)
}

/// Kubernetes reads `null` as absent, everywhere.
fn without_nulls(node: &mut Node) {
    match &mut node.value {
        Value::Mapping(entries) => {
            entries.retain(|entry| entry.node.value != Value::Null);
            entries
                .iter_mut()
                .for_each(|entry| without_nulls(&mut entry.node));
        }
        Value::Sequence(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Scalar { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::{APISERVER, parse};
    use crate::config::fault::{Origin, Report};
    use crate::config::raw::{Node, Value};

    type Read = (Option<(Option<String>, Option<String>)>, Vec<String>);

    /// Endpoint and rate as they go into the tree, and the faults.
    fn read(text: &str) -> Read {
        let (origin, report) = (
            Arc::new(Origin::Kubernetes(PathBuf::from("k.yaml"))),
            Report::default(),
        );
        let settings = parse(text, &origin, &report);
        let text = |node: Node| match node.value {
            Value::Scalar { text, .. } => text,
            other => panic!("expected a scalar: {other:?}"),
        };
        let settings = settings.map(|(endpoint, rate)| (endpoint.map(text), rate.map(text)));
        let faults = report.finish().faults;
        (settings, faults.iter().map(ToString::to_string).collect())
    }

    fn apiserver(rest: &str) -> Read {
        let header = "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n";
        read(&format!("{header}{rest}"))
    }

    #[test]
    fn every_version_of_the_apiserver_s_file_is_read() {
        for version in APISERVER {
            let text = format!(
                "apiVersion: {version}\nkind: TracingConfiguration\nendpoint: c:4317\n\
                 samplingRatePerMillion: 100\n"
            );
            let expected = Some((Some("http://c:4317".into()), Some("100".into())));
            assert_eq!(read(&text), (expected, vec![]), "{version}");
        }
    }

    #[test]
    fn a_kubelet_s_file_may_hold_anything_beside_tracing() {
        let text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
                    maxPods: 10\nregisterWithTaints: null\n\
                    tracing: {endpoint: c:4317, samplingRatePerMillion: 5}\n";
        let expected = Some((Some("http://c:4317".into()), Some("5".into())));
        assert_eq!(read(text), (expected, vec![]));
        let (_, faults) = read(&text.replace("endpoint", "endPoints"));
        let expected = "k.yaml:5: tracing.endPoints: unknown key; did you mean \"endpoint\"?";
        assert_eq!(faults, [expected]);
    }

    #[test]
    fn an_empty_file_and_nulls_are_valid() {
        assert_eq!(read(""), (Some((None, None)), vec![]));
        let nulls = apiserver("endpoint: null\nsamplingRatePerMillion:\n");
        assert_eq!(nulls, (Some((None, None)), vec![]));
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_the_apiserver_s() {
        for header in [
            "",
            "kind: TracingConfiguration\n",
            "apiVersion: apiserver.config.k8s.io/v1\n",
        ] {
            let text = format!("{header}endpoint: c:4317\nsamplingRatePerMillion: 7\n");
            let expected = Some((Some("http://c:4317".into()), Some("7".into())));
            assert_eq!(read(&text), (expected, vec![]), "{header:?}");
        }
        assert_eq!(read("{}\n"), (Some((None, None)), vec![]));
    }

    #[test]
    fn an_endpoint_s_fault_says_where_why_and_what_came() {
        let (settings, faults) = apiserver("endpoint: unix-abstract:///otel\n");
        let expected = Some((Some("unix-abstract:/otel".into()), None));
        assert_eq!((settings, faults), (expected, vec![]));
        let (_, faults) = apiserver("endpoint: http://c:4317\n");
        assert_eq!(
            faults,
            [
                "k.yaml:3: endpoint: unsupported scheme: http.  Options are none, dns, unix, or \
              unix-abstract.  See https://github.com/grpc/grpc/blob/master/doc/naming.md; \
              got \"http://c:4317\""
            ]
        );
    }

    #[test]
    fn rates_have_kubernetes_limits_in_its_words() {
        for (rate, words) in [
            ("-1", "sampling rate must be positive; got \"-1\""),
            (
                "1000001",
                "sampling rate per million must be less than or equal to one million; got \"1000001\"",
            ),
            (
                "2147483648",
                "expected an integer of 32 bits; got \"2147483648\"",
            ),
            (
                "\"5\"",
                "expected an integer of 32 bits; got the text \"5\"",
            ),
        ] {
            let (_, faults) = apiserver(&format!("samplingRatePerMillion: {rate}\n"));
            assert_eq!(
                faults,
                [format!("k.yaml:3: samplingRatePerMillion: {words}")]
            );
        }
        for rate in ["0", "1000000"] {
            let (settings, _) = apiserver(&format!("samplingRatePerMillion: {rate}\n"));
            assert_eq!(settings, Some((None, Some(rate.into()))));
        }
    }

    #[test]
    fn decoding_is_strict() {
        for (text, phrase) in [
            (
                "apiVersion: apiserver.config.k8s.io/v2\nkind: TracingConfiguration\n",
                "k.yaml:1: apiVersion: expected apiserver",
            ),
            (
                "apiVersion: apiserver.config.k8s.io/v1\nkind: KubeletConfiguration\n",
                "k.yaml:2: kind: expected TracingConfiguration",
            ),
            (
                "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpiont: a\n",
                "k.yaml:3: endpiont: unknown key; did you mean \"endpoint\"?",
            ),
            (
                "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nkind: b\n",
                "k.yaml:3: \"kind\" stands here twice",
            ),
            (
                "apiVersion: kubelet.config.k8s.io/v1beta1\ntracing: {endpoint: a}\n",
                "k.yaml:1: kind: is required",
            ),
            (
                "kind: KubeletConfiguration\nendpoint: a\n",
                "k.yaml:1: kind: expected TracingConfiguration",
            ),
            (
                "endpiont: a\n",
                "k.yaml:1: endpiont: unknown key; did you mean \"endpoint\"?",
            ),
        ] {
            let (_, faults) = read(text);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(phrase), "{faults:?}");
        }
    }
}

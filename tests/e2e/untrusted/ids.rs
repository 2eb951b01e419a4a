//! Callers under `ids`: they choose the trace's name, never its luck.

use super::{PARENT, TRACE, hex};
use crate::component::Component;
use crate::proxy::{self, Proxy};
use crate::receiver::{Receiver, Scratch, Speaks};
use crate::wire::Wire;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn yaml(component: &Component, rate: u32, key: &std::path::Path, export: &str) -> String {
    let tracing = format!(
        "  samplingRatePerMillion: {rate}\n  fleetKey: {{file: {}}}\n  export: {export}",
        key.display()
    );
    let listeners = format!(
        "- name: a\n  bind: 127.0.0.1:0\n  trust: {{default: ids}}\n  upstream: {{url: \"{}\"}}\n",
        component.url()
    );
    proxy::custom(&tracing, &listeners)
}

fn key(scratch: &Scratch, key: &str) -> std::path::PathBuf {
    let path = scratch.join(key);
    std::fs::write(&path, key).expect("a file");
    path
}

#[test]
fn ids_are_kept_and_everything_that_could_sway_the_decision_goes() {
    let scratch = Scratch::new("ids-kept");
    let key = key(&scratch, KEY);
    let receiver = Receiver::start(Speaks::Grpc);
    let export = format!("{{endpoint: \"{}\"}}", receiver.endpoint());
    for (rate, sampled) in [(0, false), (1_000_000, true)] {
        let component = Component::start();
        let proxy = Proxy::start(&yaml(&component, rate, &key, &export));
        let mut wire = Wire::connect(proxy.at(0));
        for flags in ["00", "01", "02", "03"] {
            wire.ask(format!(
                "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-{PARENT}-{flags}\r\n\
                 tracestate: ot=th:0;rv:ffffffffffffff,dd=s:2,es=s:1\r\nbaggage: k=v\r\n\
                 b3: 1\r\nx-b3-sampled: 1\r\njaeger-debug-id: 1\r\nx-datadog-sampling-priority: 2\r\n\
                 x-envoy-force-trace: 1\r\nTrace_Parent: 1\r\n\r\n"
            ));
        }
        let seen = component.wait_for(4);
        proxy.stop();
        let mut states: Vec<String> = Vec::new();
        for (seen, flags) in seen.iter().zip([0, 1, 2, 3]) {
            let context = seen.value("traceparent").expect("a context");
            // The random flag is the caller's to say, the sampled one is not.
            let expected = format!("{:02x}", (flags & 2) | u8::from(sampled));
            assert!(context.starts_with(&format!("00-{TRACE}-")), "{context}");
            assert!(context.ends_with(&format!("-{expected}")), "{context}");
            states.push(seen.value("tracestate").expect("a state"));
            for gone in [
                "baggage",
                "b3",
                "x-b3-sampled",
                "jaeger-debug-id",
                "trace_parent",
                "x-datadog-sampling-priority",
                "x-envoy-force-trace",
            ] {
                assert!(seen.values(gone).is_empty(), "{gone}");
            }
        }
        let start = if sampled { "ot=th:0;rv:" } else { "ot=rv:" };
        assert!(
            states[0].starts_with(start) && states[0].len() == start.len() + 14,
            "{states:?}"
        );
        assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
        assert!(
            !states[0].ends_with("ffffffffffffff"),
            "not the caller's randomness"
        );
    }
    let spans = receiver.wait_for_spans(4);
    assert_eq!(spans.len(), 4, "only those of the second run");
    for span in spans {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert_eq!(hex(&span.parent_span_id), PARENT);
        assert!(span.links.is_empty());
    }
}

/// Sends one request per id; says which were sampled and with which randomness.
fn decisions(key: &std::path::Path, ids: &[u128]) -> Vec<(bool, u64)> {
    let component = Component::start();
    let proxy = Proxy::start(&yaml(&component, 500_000, key, "{protocol: none}"));
    let mut wire = Wire::connect(proxy.at(0));
    for id in ids {
        wire.ask(format!(
            "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{id:032x}-{PARENT}-03\r\n\
             tracestate: ot=th:0;rv:ffffffffffffff\r\n\r\n"
        ));
    }
    let seen = component.wait_for(ids.len());
    seen.iter()
        .map(|seen| {
            let state = seen.value("tracestate").expect("a state");
            let (_, rv) = state.split_once("rv:").expect("randomness");
            let sampled = seen
                .value("traceparent")
                .expect("a context")
                .ends_with("-03");
            (sampled, u64::from_str_radix(rv, 16).expect("hexadecimal"))
        })
        .collect()
}

#[test]
fn a_forged_id_is_no_luckier_than_another() {
    const COUNT: u128 = 400;
    const LUCKY: u128 = 0x00ff_ffff_ffff_ffff;
    let scratch = Scratch::new("ids-luck");
    let (one, other) = (
        key(&scratch, KEY),
        key(&scratch, "f00102030405060708090a0b0c0d0e0f"),
    );
    // By the plain rule all of the first would be sampled and none of the second.
    let lucky: Vec<u128> = (1..=COUNT).map(|n| n << 64 | LUCKY).collect();
    let unlucky: Vec<u128> = (1..=COUNT).map(|n| n << 64).collect();
    for (ids, why) in [(&lucky, "lucky"), (&unlucky, "unlucky")] {
        let decided = decisions(&one, ids);
        let count = decided.iter().filter(|(sampled, _)| *sampled).count();
        // Four standard deviations of a fair coin; ids and key are fixed, so it never flickers.
        assert!((160..=240).contains(&count), "{why}: {count} of {COUNT}");
        for (sampled, rv) in &decided {
            assert_eq!(*sampled, *rv >= 1 << 55, "rv is what decided");
        }
        assert_eq!(decided, decisions(&one, ids), "the fleet decides alike");
        assert_ne!(
            decided,
            decisions(&other, ids),
            "another key is another luck"
        );
    }
}

#[test]
fn context_that_does_not_count_picks_no_sampling_rule() {
    let rules = "  samplingRatePerMillion: 0\n  export: {protocol: none}\n  rules:\n  \
                 - match: {header: {x-b3-flags: \"1\"}}\n    samplingRatePerMillion: 1000000\n";
    for (trust, sampled) in [("drop", "0"), ("ids", "0"), ("full", "1")] {
        let component = Component::start();
        let listeners = format!(
            "- name: a\n  bind: 127.0.0.1:0\n  trust: {{default: {trust}}}\n  upstream: {{url: \"{}\"}}\n",
            component.url()
        );
        let proxy = Proxy::start(&proxy::custom(rules, &listeners));
        Wire::connect(proxy.at(0)).ask("GET / HTTP/1.1\r\nHost: a\r\nX-B3-Flags: 1\r\n\r\n");
        let seen = component.wait_for(1).remove(0);
        let context = seen.value("traceparent").expect("a context");
        let flag = u8::from_str_radix(&context[53..], 16).expect("flags") & 1;
        assert_eq!(flag.to_string(), sampled, "{trust}: {context}");
    }
}

//! Rates that change while connections stay: over the admin socket, by the file's contents, by
//! SIGHUP.

use std::path::Path;
use std::time::{Duration, Instant};

use tracegate::lifecycle::Signal;

use super::{Rig, TRUSTS, sampled};
use crate::component::{Component, PATIENCE};
use crate::http2::Caller;
use crate::proxy::{self, Proxy};
use crate::receiver::Scratch;
use crate::wire::{self, Wire};

/// A proxy from a file that is there, with an admin server on a unix socket.
struct Live {
    rig: Rig,
    scratch: Scratch,
}

impl Live {
    fn start(name: &str, rate: u32) -> Self {
        let (scratch, component) = (Scratch::new(name), Component::start());
        let yaml = yaml(&component, &scratch, rate);
        let file = scratch.join("tracegate.yaml");
        std::fs::write(&file, proxy::document(&yaml)).expect("a file");
        let proxy = Proxy::start_file(file, &yaml);
        let rig = Rig { proxy, component };
        Self { rig, scratch }
    }

    /// Replaces the file as a ConfigMap would: at once.
    fn write(&self, text: &str) {
        let next = self.scratch.join("next.yaml");
        std::fs::write(&next, text).expect("a file");
        std::fs::rename(next, self.scratch.join("tracegate.yaml")).expect("a file");
    }

    fn rewrite(&self, rate: u32) {
        let yaml = yaml(&self.rig.component, &self.scratch, rate);
        self.write(&proxy::document(&yaml));
    }

    fn admin(&self, request: &str) -> String {
        let path: &Path = &self.scratch.join("admin.sock");
        wire::exchange_unix(path, request)
    }

    fn put(&self, body: &str) -> u16 {
        let length = body.len();
        let answer = self.admin(&format!(
            "PUT /sampling HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        wire::status(&answer)
    }

    fn rates(&self) -> String {
        self.admin("GET /sampling HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    }

    fn rate_is(&self, rate: u32) -> bool {
        let text = self.rates().replace([' ', '\n'], "");
        text.contains(&format!("\"samplingRatePerMillion\":{rate}"))
    }
}

fn yaml(component: &Component, scratch: &Scratch, rate: u32) -> String {
    let tracing = format!(
        "  samplingRatePerMillion: {rate}\n  \
         rules: [{{match: {{path: /r}}, samplingRatePerMillion: {rate}}}, {{match: {{path: /d}}, drop: true}}]\n  \
         export: {{endpoint: \"http://127.0.0.1:9\"}}"
    );
    let yaml = proxy::custom(&tracing, &super::listeners(component));
    format!(
        "admin: {{bind: \"unix://{}\"}}\n{yaml}",
        scratch.join("admin.sock").display()
    )
}

/// Looks until it holds; nothing tells a caller that a reload has reached every worker.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn next_http2(live: &Live, caller: &mut Caller) -> Option<bool> {
    let before = live.rig.component.seen().len();
    let (answer, _) = caller.send(Caller::get("/"));
    assert_eq!(answer.status(), 200);
    sampled(&live.rig.component.wait_for(before + 1)[before])
}

#[test]
fn a_put_takes_effect_at_once_on_open_connections() {
    let live = Live::start("put", 0);
    let mut http1: Vec<Wire> = TRUSTS.iter().map(|trust| live.rig.connect(trust)).collect();
    let mut http2 = Caller::connect(live.rig.proxy.at(0));
    for rate in [0, 1_000_000, 0, 1_000_000] {
        let body = format!("{{\"samplingRatePerMillion\": {rate}}}");
        assert_eq!(live.put(&body), 200);
        for wire in &mut http1 {
            let seen = live.rig.get(wire, "");
            assert_eq!(sampled(&seen), Some(rate > 0));
        }
        assert_eq!(next_http2(&live, &mut http2), Some(rate > 0));
    }
}

#[test]
fn a_put_for_a_rule_changes_that_rule_only() {
    let live = Live::start("put-rule", 0);
    let mut wire = live.rig.connect("drop");
    let rule = "{\"rules\": [{\"index\": 0, \"samplingRatePerMillion\": 1000000}]}";
    assert_eq!(live.put(rule), 200);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (path, expected) in [("/r", Some(true)), ("/", Some(false)), ("/d", None)] {
        let seen = live.rig.send(&mut wire, &get(path));
        assert_eq!(sampled(&seen), expected, "{path}");
    }
}

#[test]
fn a_bad_put_changes_nothing() {
    let live = Live::start("put-bad", 0);
    let mut wire = live.rig.connect("drop");
    for body in [
        "{\"samplingRatePerMillion\": 1000001}",
        "{\"samplingRatePerMillion\": -1}",
        "{\"samplingRatePerMillion\": 1000000, \"rules\": [{\"index\": 7, \"samplingRatePerMillion\": 1}]}",
        "{\"samplingRatePerMillion\": 1000000, \"typo\": 1}",
        "nothing like it",
    ] {
        assert_eq!(live.put(body), 400, "{body}");
        assert_eq!(sampled(&live.rig.get(&mut wire, "")), Some(false), "{body}");
    }
}

#[test]
fn a_changed_file_takes_effect_on_open_connections_with_and_without_sighup() {
    for sighup in [true, false] {
        let live = Live::start(if sighup { "sighup" } else { "contents" }, 0);
        let mut http1 = live.rig.connect("drop");
        let mut http2 = Caller::connect(live.rig.proxy.at(0));
        assert_eq!(sampled(&live.rig.get(&mut http1, "")), Some(false));
        assert_eq!(next_http2(&live, &mut http2), Some(false));
        live.rewrite(1_000_000);
        if sighup {
            live.rig.proxy.signal(Signal::Hangup);
        }
        eventually("the open HTTP/1.1 connection", || {
            sampled(&live.rig.get(&mut http1, "")) == Some(true)
        });
        eventually("the open HTTP/2 connection", || {
            next_http2(&live, &mut http2) == Some(true)
        });
    }
}

#[test]
fn a_bad_file_keeps_the_running_configuration_and_a_good_one_replaces_rates_that_were_put() {
    let live = Live::start("bad-file", 0);
    let mut wire = live.rig.connect("drop");
    assert_eq!(live.put("{\"samplingRatePerMillion\": 1000000}"), 200);
    for bad in [
        "",
        "nothing: like it",
        "]",
        &proxy::document("tracing: {samplingRatePerMillion: 2000000}\nlisteners: []\n"),
    ] {
        live.write(bad);
        live.rig.proxy.signal(Signal::Hangup);
        // The control thread serves the admin socket and reloads: it answers after the signal.
        for _ in 0..5 {
            assert!(live.rate_is(1_000_000), "{bad}: {}", live.rates());
        }
        assert_eq!(sampled(&live.rig.get(&mut wire, "")), Some(true), "{bad}");
    }
    live.rewrite(0);
    live.rig.proxy.signal(Signal::Hangup);
    eventually("the file's rate", || {
        sampled(&live.rig.get(&mut wire, "")) == Some(false)
    });
    assert!(live.rate_is(0), "{}", live.rates());
    assert_eq!(live.put("{\"samplingRatePerMillion\": 1000000}"), 200);
    let seen = live.rig.get(&mut wire, "");
    assert_eq!(
        sampled(&seen),
        Some(true),
        "a put reaches the sampler that was reloaded"
    );
}

#[test]
fn a_sighup_alone_replaces_rates_that_were_put() {
    let live = Live::start("same-file", 0);
    let mut wire = live.rig.connect("drop");
    assert_eq!(live.put("{\"samplingRatePerMillion\": 1000000}"), 200);
    assert_eq!(sampled(&live.rig.get(&mut wire, "")), Some(true));
    live.rig.proxy.signal(Signal::Hangup);
    eventually("the file's rate", || {
        sampled(&live.rig.get(&mut wire, "")) == Some(false)
    });
}

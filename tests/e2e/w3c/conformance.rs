//! The rig the suite itself is run against: the ready-made configuration and the program's app.

#[path = "../../w3c/app.rs"]
mod app;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{PARENT, TRACE};
use crate::background::{self, Background};
use crate::component::{Component, Seen};
use crate::proxy::Proxy;
use crate::ready_made;
use crate::wire::{self, Wire};

struct Rig {
    harness: Component,
    proxy: Proxy,
    _app: Background,
}

impl Rig {
    fn start() -> Self {
        let harness = Component::start();
        let (listener, address) = background::listener();
        let app = format!("url: http://{address}");
        let proxy = ready_made::start(
            "w3c-conformance.yaml",
            &[
                ("bind: 127.0.0.1:5000", "bind: 127.0.0.1:0"),
                ("url: http://127.0.0.1:5001", &app),
                ("bind: 127.0.0.1:5002", "bind: 127.0.0.1:0"),
                (
                    "url: http://127.0.0.1:7777",
                    &format!("url: {}", harness.url()),
                ),
            ],
        );
        let egress = proxy.at(1);
        let app = Background::run(move || async move {
            let listener = TcpListener::from_std(listener).expect("a usable socket");
            app::serve(listener, egress).await;
        });
        Self {
            harness,
            proxy,
            _app: app,
        }
    }

    /// Posts to the service as the suite does; what comes back to it.
    fn post(&self, fields: &str, told: &Value, calls: usize) -> Vec<Seen> {
        let before = self.harness.seen().len();
        let body = told.to_string();
        let (head, _) = Wire::connect(self.proxy.at(0)).ask(format!(
            "POST /test HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nX-Of-The-Caller: 1\r\n{fields}\r\n{body}",
            body.len()
        ));
        assert_eq!(wire::status(&head), 200, "{head}");
        self.harness.wait_for(before + calls).split_off(before)
    }

    fn url(&self, path: &str) -> String {
        self.harness.url() + path
    }
}

#[test]
fn the_suites_rig_calls_back_every_url_with_its_arguments_and_context() {
    let rig = Rig::start();
    let nested = json!([{"url": rig.url("/elsewhere"), "arguments": []}]);
    let told = json!([
        {"url": rig.url("/callback/a.0"), "arguments": []},
        {"url": rig.url("/callback/a.1?b=c"), "arguments": nested},
        {"url": rig.url("/callback/a.2")},
    ]);
    let fields = format!(
        "traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: foo=1\r\ntracestate: bar=2\r\n"
    );
    let seen = rig.post(&fields, &told, 3);
    let targets: Vec<_> = seen.iter().map(|s| s.uri.to_string()).collect();
    assert_eq!(
        targets,
        ["/callback/a.0", "/callback/a.1?b=c", "/callback/a.2"]
    );
    let mut parents = vec![PARENT.to_owned()];
    for (seen, arguments) in seen.iter().zip([json!([]), nested, json!([])]) {
        assert_eq!(seen.method, "POST");
        assert_eq!(
            serde_json::from_slice::<Value>(&seen.body).ok(),
            Some(arguments)
        );
        let host = rig.harness.address().to_string();
        assert_eq!(seen.value("host"), Some(host));
        assert!(
            seen.value("x-of-the-caller").is_none(),
            "only context is copied"
        );
        let context = super::Context::of(seen);
        assert_eq!((context.trace.as_str(), context.flags), (TRACE, 1));
        let state = context.state.expect("a state").replace(' ', "");
        assert_eq!(state, "foo=1,bar=2");
        assert!(!parents.contains(&context.parent), "{parents:?}");
        parents.push(context.parent);
    }
}

#[test]
fn the_suites_rig_restarts_what_is_doubled_and_takes_one_call_alone() {
    let rig = Rig::start();
    let told = json!({"url": rig.url("/callback/b.0"), "arguments": []});
    let context = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let seen = rig.post(&context.repeat(2), &told, 1);
    let context = super::Context::of(&seen[0]);
    assert!(
        context.trace != TRACE && context.parent != PARENT,
        "{context:?}"
    );
}

#[test]
fn the_suites_rig_says_so_when_it_could_not_obey() {
    let rig = Rig::start();
    let refused = rig.url("/status/500");
    for body in [
        "{",
        "{}",
        "[{\"url\": \"/a\"}]",
        &format!("[{{\"url\": \"{refused}\"}}]"),
    ] {
        let (head, _) = Wire::connect(rig.proxy.at(0)).ask(format!(
            "POST /test HTTP/1.1\r\nHost: service\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(wire::status(&head), 502, "{body}");
    }
}

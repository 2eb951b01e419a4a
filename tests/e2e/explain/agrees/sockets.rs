//! The same over real sockets, in front of a real component.

use std::cell::Cell;
use std::net::SocketAddr;

use http::{Method, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestCaseError, TestRunner};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracegate::explain;

use super::super::{came, load};
use super::credentials::Credentials;
use super::generated::{Asked, Kind, asked, policy};
use super::{Live, agrees, matching};
use crate::caller::{Caller, Speaks, block_on, empty};
use crate::component::Component;
use crate::proxy::Proxy;
use crate::receiver::{self, Receiver};
use crate::wire::{self, Wire};

const POLICIES: u32 = 25;
const REQUESTS: usize = 8;

/// How the caller's address comes to a listener that believes us (PROXY protocol, version 1).
fn said(asked: &Asked) -> String {
    let address = asked.who.address().unwrap_or("127.0.0.1");
    let (version, to) = match address.contains(':') {
        true => ("TCP6", "::1"),
        false => ("TCP4", "127.0.0.1"),
    };
    format!("PROXY {version} {address} {to} 1 2\r\n")
}

/// The status of the answer.
fn send(at: SocketAddr, asked: &Asked) -> u16 {
    if asked.http2 {
        return block_on(async {
            let mut stream = TcpStream::connect(at).await.expect("a connection");
            let said = said(asked);
            stream.write_all(said.as_bytes()).await.expect("sent");
            let mut caller = Caller::over(stream, Speaks::Http2).await;
            let host = asked.fields.iter().find(|(name, _)| *name == "host");
            let host = host.map_or("localhost", |(_, value)| value.as_str());
            let mut request = Request::builder()
                .method(Method::from_bytes(asked.method.as_bytes()).expect("a method"))
                .uri(format!("http://{host}{}", asked.path));
            for (name, value) in asked.fields.iter().filter(|(name, _)| *name != "host") {
                request = request.header(*name, value);
            }
            let request = request.body(empty()).expect("a request");
            caller.exchange(request).await.status
        });
    }
    let mut text = format!(
        "{}{} {} HTTP/1.1\r\n",
        said(asked),
        asked.method,
        asked.path
    );
    if !asked.fields.iter().any(|(name, _)| *name == "host") {
        text += "host: localhost\r\n";
    }
    for (name, value) in &asked.fields {
        text += &format!("{name}: {value}\r\n");
    }
    let (head, _) = Wire::connect(at).ask(text + "\r\n");
    wire::status(&head)
}

/// What both versions can say on a wire, and what says nothing of framing, which `explain` leaves out.
fn can_be_sent(asked: &Asked) -> bool {
    let fine = |name: &str| match name {
        "content-length" => false,
        "connection" | "upgrade" | "te" => !asked.http2,
        _ => true,
    };
    let hosts = asked.fields.iter().filter(|(name, _)| *name == "host");
    asked.method != "CONNECT"
        && asked.fields.iter().all(|(name, _)| fine(name))
        && (hosts.count() < 2 || !asked.http2)
}

/// Names with that of a request's span, if it has one; `None` where it may or may not.
fn with_span(mut names: Vec<String>, outcomes: &[&Value]) -> Option<Vec<String>> {
    let (first, others) = outcomes.split_first()?;
    let span = &first["span"];
    if others.iter().any(|outcome| outcome["span"] != *span) {
        return None;
    }
    names.extend(span["name"].as_str().map(str::to_owned));
    Some(names)
}

#[test]
fn a_real_proxy_does_what_is_explained_of_generated_policies() {
    let (credentials, component) = (Credentials::new(), Component::start());
    let receiver = Receiver::start(receiver::Speaks::Grpc);
    let collector = format!("{{endpoint: \"{}\"}}", receiver.endpoint());
    let upstream = component.url().replace("http://", "");
    let compared = Cell::new(0);
    let mut runner = TestRunner::new(Runs::with_cases(POLICIES));
    let wanted = asked().prop_filter("it can be sent", can_be_sent);
    let requests = prop::collection::vec(wanted, REQUESTS);
    // No caps: which request meets one is a matter of time.
    let caps = &["", "\n  keep: {errors: true, slowerThan: 1s}"];
    let policies = policy(&[Kind::Address], caps);
    let agree = runner.run(&(policies, requests), |(policy, requests)| {
        let yaml = policy.yaml(&credentials, &upstream);
        let yaml = yaml
            .replace("{protocol: console}", &collector)
            .replace(", maxTracesPerSecond: 1", "");
        let (config, proxy) = (load(&yaml), Proxy::start(&yaml));
        // Names of spans, as long as what is told leaves no doubt.
        let (mut names, spans) = (Some(Vec::new()), receiver.spans().len());
        for asked in &requests {
            let question = asked.question(policy.kind, &credentials);
            let told = explain::explain(&config, &question)
                .expect("an answer")
                .json();
            let before = component.seen().len();
            let status = send(proxy.at(0), asked);
            let live = if component.seen().len() == before {
                names = None;
                Err(status)
            } else {
                let seen = component.seen().remove(before);
                let mut lines = came(&seen);
                // Framing is the connection's, not the request's.
                lines.retain(|(name, _)| name != "content-length" && name != "transfer-encoding");
                let left = Live::arrived(lines);
                names = names.and_then(|names| with_span(names, &matching(&told, &left)));
                Ok(left)
            };
            agrees(&told, live)
                .map_err(|why| TestCaseError::fail(format!("{why}\n{asked:?}\n{yaml}")))?;
        }
        proxy.stop();
        if let Some(mut names) = names {
            let spans = receiver.spans().split_off(spans);
            let mut made: Vec<_> = spans.into_iter().map(|span| span.name).collect();
            names.sort();
            made.sort();
            prop_assert_eq!(names, made, "{}", yaml);
            compared.set(compared.get() + 1);
        }
        Ok(())
    });
    if let Err(error) = agree {
        panic!("{error}");
    }
    assert!(compared.get() > 2, "{} policies' spans", compared.get());
}

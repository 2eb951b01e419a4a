//! A real etcd behind an egress listener, called by its own client.

mod members;
mod server;

use std::process::Stdio;

use bytes::Bytes;
use prost::Message;
use tonic::Request;

use super::grpc::service::Client;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Scratch, Speaks};
use super::span_view::{View, views};
use server::{Etcd, Process, etcdctl, run, until};

/// What a test does through the proxy at `endpoint`; returns the methods of its calls.
fn every_command(endpoint: &str) -> Vec<&'static str> {
    let etcd = |arguments: &[&str]| run(endpoint, arguments, "");
    assert_eq!(etcd(&["put", "a", "1"]), "OK\n");
    assert_eq!(etcd(&["get", "a"]), "a\n1\n");
    let transaction = "value(\"a\") = \"1\"\n\nput b 2\nget a\n\nput b 3\n\n";
    let done = run(endpoint, &["txn"], transaction);
    assert!(
        done.starts_with("SUCCESS") && done.ends_with("a\n1\n"),
        "{done}"
    );
    let granted = etcd(&["lease", "grant", "60"]);
    let lease = granted.split(' ').nth(1).expect("an id");
    assert_eq!(etcd(&["put", "c", "3", "--lease", lease]), "OK\n");
    assert!(etcd(&["lease", "keep-alive", "--once", lease]).contains("TTL(60)"));
    assert!(etcd(&["lease", "timetolive", lease]).contains("granted"));
    assert!(etcd(&["lease", "revoke", lease]).contains("revoked"));
    assert_eq!(etcd(&["get", "c"]), "");
    assert_eq!(etcd(&["del", "a"]), "1\n");
    vec![
        "etcdserverpb.KV/Put",
        "etcdserverpb.KV/Range",
        "etcdserverpb.KV/Txn",
        "etcdserverpb.Lease/LeaseGrant",
        "etcdserverpb.KV/Put",
        "etcdserverpb.Lease/LeaseKeepAlive",
        "etcdserverpb.Lease/LeaseTimeToLive",
        "etcdserverpb.Lease/LeaseRevoke",
        "etcdserverpb.KV/Range",
        "etcdserverpb.KV/DeleteRange",
    ]
}

/// Every call is one CLIENT span, a root, of the method called at the server named.
fn assert_calls(spans: &[View], methods: &[&str], server: (&str, Option<&str>)) {
    let names: Vec<&str> = spans.iter().map(|span| span.0.name.as_str()).collect();
    assert_eq!(names, methods);
    for (span, method) in spans.iter().zip(methods) {
        let stream = method.ends_with("LeaseKeepAlive");
        assert_eq!(span.0.kind, 3, "CLIENT");
        assert_eq!(span.text("rpc.system.name"), "grpc");
        assert_eq!(span.text("rpc.method"), *method);
        assert_eq!(span.text("server.address"), server.0, "{method}");
        assert_eq!(span.get("server.port").as_deref(), server.1, "{method}");
        assert_eq!(span.text("network.protocol.version"), "2");
        assert_eq!(span.text("tracegate.listener"), "egress");
        assert!(!span.failed(), "{span:?}");
        // Who has read enough cancels a stream instead of waiting for its end.
        let status = span.get("rpc.response.status_code");
        if !stream || status.is_some() {
            assert_eq!(status.as_deref(), Some("OK"), "{method}");
        }
        assert_eq!(span.parent(), "", "etcdctl hands no context on");
    }
}

/// Host and port of a URL.
fn authority(url: &str) -> (&str, Option<&str>) {
    let (_, authority) = url.split_once("://").expect("a URL");
    let (host, port) = authority.split_once(':').expect("a port");
    (host, Some(port))
}

fn finished(proxy: Proxy, receiver: &Receiver) -> Vec<View> {
    let made = {
        let status = proxy.export();
        let recorded = status.recorded();
        proxy.stop();
        recorded
    };
    let views = views(receiver);
    assert_eq!(views.len() as u64, made, "every span made is received");
    views
}

#[test]
fn every_call_to_etcd_is_one_client_span() {
    let Some(etcd) = Etcd::start("plain", false) else {
        return;
    };
    let receiver = Receiver::start(Speaks::Grpc);
    let proxy = Proxy::start(&proxy::egress(&etcd.url, receiver.endpoint(), ""));
    let methods = every_command(&format!("http://{}", proxy.at(0)));
    until("every call has ended", || {
        proxy.export().recorded() >= methods.len() as u64
    });
    assert_calls(&finished(proxy, &receiver), &methods, authority(&etcd.url));
}

#[test]
fn a_component_without_certificates_reaches_an_etcd_that_demands_them() {
    let Some(etcd) = Etcd::start("tls", true) else {
        return;
    };
    let certificates = etcd.certificates.as_ref().expect("TLS");
    let (certificate, key) = certificates.of("client");
    let receiver = Receiver::start(Speaks::Grpc);
    let upstream = |identity: &str| {
        format!(
            "{{url: \"{}\", protocol: http2, tls: {{caFile: {}{identity}}}}}",
            etcd.url,
            certificates.authority.display(),
        )
    };
    let identity = format!(
        ", certFile: {}, keyFile: {}",
        certificate.display(),
        key.display()
    );
    let start = |upstream: &str| {
        Proxy::start(&proxy::listening(
            "egress",
            "127.0.0.1:0",
            upstream,
            receiver.endpoint(),
            "",
        ))
    };
    let proxy = start(&upstream(&identity));
    let methods = every_command(&format!("http://{}", proxy.at(0)));
    until("every call has ended", || {
        proxy.export().recorded() >= methods.len() as u64
    });
    assert_calls(&finished(proxy, &receiver), &methods, authority(&etcd.url));

    // Without the certificate etcd lets nobody in: it was this proxy's, not luck.
    let stranger = start(&upstream(""));
    let endpoint = format!("http://{}", stranger.at(0));
    let mut refused = etcdctl(&endpoint, &["get", "a", "--command-timeout", "1s"]);
    assert!(!refused.output().expect("etcdctl runs").status.success());
}

#[test]
fn unix_sockets_serve_both_sides_of_the_proxy() {
    let Some(etcd) = Etcd::start("unix", false) else {
        return;
    };
    let receiver = Receiver::start(Speaks::Grpc);
    let scratch = Scratch::new("etcd-listener");
    // etcdctl takes the socket for a host and a port, in its own directory.
    let bind = format!("unix://{}", scratch.join("proxy:1").display());
    let upstream = format!("{{url: \"unix://{}\"}}", etcd.socket.display());
    let document = proxy::listening("egress", &bind, &upstream, receiver.endpoint(), "");
    let proxy = Proxy::start(&document);
    for (arguments, expected) in [
        (vec!["put", "a", "1"], "OK\n"),
        (vec!["get", "a"], "a\n1\n"),
    ] {
        let mut command = etcdctl("unix://proxy:1", &arguments);
        let output = command.current_dir(scratch.path()).output();
        let output = output.expect("etcdctl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    until("both calls have ended", || proxy.export().recorded() >= 2);
    let methods = ["etcdserverpb.KV/Put", "etcdserverpb.KV/Range"];
    let socket = etcd.socket.display().to_string();
    assert_calls(&finished(proxy, &receiver), &methods, (&socket, None));
}

/// `etcdserverpb.PutRequest`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

fn put(key: String, traceparent: &str) -> Request<Bytes> {
    let message = PutRequest {
        key: key.into(),
        value: Bytes::from_static(b"x"),
    };
    let mut request = Request::new(message.encode_to_vec().into());
    if !traceparent.is_empty() {
        let value = traceparent.parse().expect("metadata");
        request.metadata_mut().insert("traceparent", value);
    }
    request
}

/// Watches the keys that begin with `prefix`, from the first revision on: no event is too early.
fn watching(endpoint: &str, prefix: &str) -> Process {
    let mut watch = etcdctl(endpoint, &["watch", "--prefix", prefix, "--rev", "1"]);
    Process::start(watch.stdin(Stdio::piped()).stdout(Stdio::piped()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn the_components_own_context_is_the_parent_and_its_decision_holds() {
    let Some(etcd) = Etcd::start("parent", false) else {
        return;
    };
    let receiver = Receiver::start(Speaks::Grpc);
    let orphans = "  orphans: pass\n";
    let proxy = Proxy::start(&proxy::egress(&etcd.url, receiver.endpoint(), orphans));
    let address = proxy.at(0);
    runtime().block_on(async {
        let mut client = Client::connect(address).await;
        for traceparent in [
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319d-00f067aa0ba902b8-00",
            "",
        ] {
            let request = put("a".to_owned(), traceparent);
            let answer = client.unary("/etcdserverpb.KV/Put", request).await;
            answer.expect("etcd answers");
        }
    });
    until("the call has ended", || proxy.export().recorded() >= 1);
    let spans = finished(proxy, &receiver);
    // Neither the unsampled parent's call nor the orphan is recorded.
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].trace(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(spans[0].parent(), "00f067aa0ba902b7");
    assert_eq!(spans[0].0.name, "etcdserverpb.KV/Put");
}

#[test]
fn a_watch_is_one_span_however_many_events_it_brings() {
    const EVENTS: usize = 100;
    let Some(etcd) = Etcd::start("watch", false) else {
        return;
    };
    let receiver = Receiver::start(Speaks::Grpc);
    let proxy = Proxy::start(&proxy::egress(&etcd.url, receiver.endpoint(), ""));
    let address = proxy.at(0);
    let endpoint = format!("http://{address}");
    let mut watch = watching(&endpoint, "w/");
    let mut lines = watch.lines();
    let mut event = || {
        let mut line = || lines.next().expect("a line").expect("text");
        (line(), line(), line())
    };
    let runtime = runtime();
    let mut client = runtime.block_on(Client::connect(address));
    for index in 0..EVENTS {
        let key = format!("w/{index}");
        let request = put(key.clone(), "");
        let put = client.unary("/etcdserverpb.KV/Put", request);
        runtime.block_on(put).expect("etcd answers");
        // It comes at once, although the watch goes on.
        assert_eq!(event(), ("PUT".into(), key, "x".into()));
    }
    until("every put has ended", || {
        proxy.export().recorded() >= EVENTS as u64
    });
    assert_eq!(
        proxy.export().recorded(),
        EVENTS as u64,
        "the watch is open"
    );
    drop(watch);
    until("the watch has ended", || {
        proxy.export().recorded() > EVENTS as u64
    });
    drop(client);
    let spans = finished(proxy, &receiver);
    let (watches, puts): (Vec<View>, Vec<View>) = spans
        .into_iter()
        .partition(|span| span.0.name == "etcdserverpb.Watch/Watch");
    assert_eq!((watches.len(), puts.len()), (1, EVENTS));
    assert!(!watches[0].failed(), "whoever watches may stop");
    let last = puts.last().expect("a put");
    assert!(watches[0].0.end_time_unix_nano > last.0.end_time_unix_nano);
}

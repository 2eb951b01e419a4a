//! Calls to a real containerd, as the kubelet makes them.

use std::path::Path;

use bytes::Bytes;
use http::HeaderMap;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status, Streaming};

use super::messages::*;
use super::runtime::Containerd;
use crate::background::within;
use crate::files::TempDir;
use crate::frames::{Answered, Field, Frames};
use crate::grpc::service::{Client, Raw};
use crate::proxy::{self, Proxy};
use crate::receiver::{Receiver, Speaks};
use crate::span_view::{View, views};

const RUNTIME: &str = "/runtime.v1.RuntimeService";
const VERSION: &str = "/runtime.v1.RuntimeService/Version";
const CREATE: &str = "/containerd.services.containers.v1.Containers/Create";
const EVENTS: &str = "/containerd.services.events.v1.Events/Subscribe";

/// What a message may have in bytes, for the kubelet and for containerd.
const LARGEST: usize = 16 << 20;

/// A proxy before containerd, its spans received.
pub struct Rig {
    /// The proxy's socket.
    pub socket: std::path::PathBuf,
    /// The proxy.
    pub proxy: Proxy,
    /// Where its spans go.
    pub receiver: Receiver,
    _directory: TempDir,
}

impl Rig {
    /// Its upstream doesn't have to run yet.
    pub fn before(containerd: &Containerd) -> Self {
        let (directory, receiver) = (TempDir::new(), Receiver::start(Speaks::Grpc));
        let socket = directory.join("proxy");
        let bind = format!("unix://{}", socket.display());
        let upstream = format!("{{url: \"unix://{}\"}}", containerd.socket().display());
        let endpoint = receiver.endpoint();
        let document = proxy::listening("ingress", &bind, &upstream, endpoint, "");
        Self {
            socket,
            proxy: Proxy::start(&document),
            receiver,
            _directory: directory,
        }
    }

    /// That many spans, once they have been made.
    async fn spans(self, count: u64) -> Vec<View> {
        within(async {
            while self.proxy.export().recorded() < count {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
        let proxy = self.proxy;
        let stopped = tokio::task::spawn_blocking(move || proxy.stop());
        within(stopped).await.expect("a clean stop");
        let views = views(&self.receiver);
        assert_eq!(views.len() as u64, count, "{views:#?}");
        views
    }
}

async fn connect(socket: &Path) -> Client {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).expect("a URL");
    let channel = within(endpoint.connect()).await.expect("a connection");
    let client = tonic::client::Grpc::new(channel);
    Client(client.max_decoding_message_size(LARGEST))
}

/// An empty message there, one back.
async fn ask<M: Message + Default>(client: &mut Client, path: &'static str) -> Result<M, Status> {
    let answer = client.unary(path, Request::new(Bytes::new())).await?;
    Ok(M::decode(answer.into_inner()).expect("a message"))
}

/// A stream of messages for an empty one; it holds nothing of the client's.
fn subscribe(
    client: &Client,
    path: &'static str,
) -> impl Future<Output = Result<Response<Streaming<Bytes>>, Status>> + use<> {
    let mut client = client.0.clone();
    async move {
        client.ready().await.expect("a connection");
        let path = PathAndQuery::from_static(path);
        let request = Request::new(Bytes::new());
        client.server_streaming(request, path, Raw).await
    }
}

/// Whether something doesn't happen for a while.
async fn waits<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    let moment = std::time::Duration::from_millis(50);
    tokio::time::timeout(moment, future).await.is_err()
}

/// Asks for a container with a specification of these bytes.
fn container(value: Bytes) -> Request<Bytes> {
    let message = CreateContainer {
        container: Some(Container {
            id: "test".to_owned(),
            runtime: Some(Runtime {
                name: "io.containerd.runc.v2".to_owned(),
            }),
            spec: Some(Any {
                type_url: "test".to_owned(),
                value,
            }),
        }),
    };
    let mut request = Request::new(Bytes::from(message.encode_to_vec()));
    let namespace = "test".parse().expect("metadata");
    request
        .metadata_mut()
        .insert("containerd-namespace", namespace);
    request
}

fn method(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[tokio::test]
async fn every_call_to_containerd_is_one_span() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let rig = Rig::before(&containerd);
    let mut client = connect(&rig.socket).await;

    let version: VersionResponse = ask(&mut client, VERSION).await.expect("an answer");
    assert_eq!(version.runtime_name, "containerd");
    assert_eq!(version.runtime_api_version, "v1");
    let status = format!("{RUNTIME}/Status").leak();
    let answer: StatusResponse = ask(&mut client, status).await.expect("an answer");
    let conditions = answer.status.expect("a status").conditions;
    let ready = |kind| conditions.iter().find(|c| c.kind == kind).map(|c| c.status);
    assert_eq!(ready("RuntimeReady"), Some(true));
    assert_eq!(
        ready("NetworkReady"),
        Some(false),
        "nobody set up a network"
    );
    let images = "/runtime.v1.ImageService/ListImages";
    let request = client.unary(images, Request::new(Bytes::new()));
    assert_eq!(request.await.expect("an answer").into_inner(), "", "none");
    let filesystem = "/runtime.v1.ImageService/ImageFsInfo";
    let info: ImageFsInfoResponse = ask(&mut client, filesystem).await.expect("an answer");
    let place = info
        .image_filesystems
        .first()
        .and_then(|fs| fs.fs_id.clone());
    let place = place.expect("a file system").mountpoint;
    assert!(Path::new(&place).starts_with(containerd.root()), "{place}");

    // Events of containers: a stream that stays open, or a method that 1.6 doesn't have.
    let events = format!("{RUNTIME}/GetContainerEvents").leak();
    let stream = tokio::time::timeout(
        std::time::Duration::from_millis(500),
        subscribe(&client, events),
    );
    let code = match stream.await {
        Err(_) | Ok(Ok(_)) => None,
        Ok(Err(status)) => Some(status.code()),
    };
    assert!(matches!(code, None | Some(Code::Unimplemented)), "{code:?}");
    drop(client);

    let spans = rig.spans(5).await;
    let methods = [VERSION, status, images, filesystem, events].map(method);
    for (span, method) in spans.iter().zip(methods) {
        assert_eq!(span.0.name, method);
        assert_eq!(span.0.kind, 2, "SERVER");
        assert_eq!(span.text("rpc.system.name"), "grpc");
        assert_eq!(span.text("rpc.method"), method);
        assert_eq!(span.text("network.protocol.version"), "2");
        if method != methods[4] {
            assert_eq!(span.text("rpc.response.status_code"), "OK", "{method}");
            assert!(!span.failed(), "{method}");
        }
    }
    let last = spans[4].get("rpc.response.status_code");
    assert_eq!(last.is_some(), code.is_some());
}

#[tokio::test]
async fn services_that_are_not_cri_are_forwarded_and_a_cancelled_stream_ends_in_containerd() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    const STANDS: &str = "services/events.(*service).Subscribe(";
    assert_eq!(containerd.goroutines(STANDS), 0);
    let rig = Rig::before(&containerd);
    let mut client = connect(&rig.socket).await;
    let standing = async |count: usize| {
        within(async {
            while containerd.goroutines(STANDS) != count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    // Nothing happens in containerd, so not even the head comes.
    let mut streams = Box::pin(subscribe(&client, EVENTS));
    assert!(waits(&mut streams).await, "it is open");
    standing(1).await;
    // The connection serves others meanwhile, one of which makes an event.
    let version = "/containerd.services.version.v1.Version/Version";
    let answer = client.unary(version, Request::new(Bytes::new())).await;
    assert!(!answer.expect("an answer").into_inner().is_empty());
    let created = client.unary(CREATE, container(Bytes::new())).await;
    created.expect("an answer");
    let mut events = within(streams).await.expect("a head").into_inner();
    let event = within(events.message()).await.expect("an event");
    assert!(!event.expect("an event").is_empty());
    standing(1).await;
    drop(events);
    standing(0).await;
    drop(client);
    let spans = rig.spans(3).await;
    for span in &spans {
        assert_eq!(span.text("rpc.method"), "_OTHER");
    }
    assert_eq!(spans[0].text("rpc.method_original"), method(EVENTS));
    assert!(!spans[0].failed(), "whoever listens may stop");
}

#[tokio::test]
async fn messages_of_nearly_sixteen_mebibytes_pass_both_ways() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let rig = Rig::before(&containerd);
    let mut client = connect(&rig.socket).await;
    let value = Bytes::from(vec![7; LARGEST - 4096]);
    let answer = client.unary(CREATE, container(value.clone())).await;
    let answer = answer.expect("an answer");
    let back = CreateContainer::decode(answer.into_inner()).expect("a message");
    let spec = back.container.and_then(|container| container.spec);
    assert!(spec.expect("a spec").value == value, "what was sent");
}

#[tokio::test]
async fn a_runtime_that_starts_later_or_again_costs_one_call() {
    let Some(mut containerd) = Containerd::new() else {
        return;
    };
    let rig = Rig::before(&containerd);
    let mut client = connect(&rig.socket).await;
    // Whoever lost this connection couldn't make another.
    std::fs::remove_file(&rig.socket).expect("a socket");
    let version = async |client: &mut Client| {
        let answer = ask::<VersionResponse>(client, VERSION).await;
        answer
            .map(|answer| answer.runtime_name)
            .map_err(|e| e.code())
    };
    assert_eq!(version(&mut client).await, Err(Code::Unavailable));
    let mut calls = 1;
    for _ in 0..2 {
        containerd.run();
        for _ in 0..3 {
            assert_eq!(version(&mut client).await, Ok("containerd".to_owned()));
        }
        let mut stream = Box::pin(subscribe(&client, EVENTS));
        assert!(waits(&mut stream).await, "it is open");
        containerd.kill();
        let ended: Result<_, Status> = within(stream).await;
        assert_eq!(ended.expect_err("the end").code(), Code::Unavailable);
        calls += 4;
    }
    assert_eq!(version(&mut client).await, Err(Code::Unavailable));
    drop(client);
    let spans = rig.spans(calls + 1).await;
    let failed = spans.iter().filter(|span| span.failed()).count();
    assert_eq!(failed, 4, "those without a runtime, and the streams");
}

/// The head of the answer to a call, whether it is all of the answer, and the trailers.
async fn raw(socket: &Path, path: &str) -> (http::Response<()>, bool, Option<HeaderMap>) {
    let stream = within(UnixStream::connect(socket)).await.expect("a socket");
    let (send, connection) = within(h2::client::handshake(stream)).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a head");
    let mut ready = within(send.ready()).await.expect("a stream");
    let (response, mut body) = ready.send_request(request, false).expect("a stream");
    let empty = Bytes::from_static(&[0; 5]);
    body.send_data(empty, true).expect("an open stream");
    let (parts, mut body) = within(response).await.expect("a head").into_parts();
    let whole = body.is_end_stream();
    while within(body.data()).await.is_some() {}
    let trailers = within(body.trailers()).await.expect("an end");
    driver.abort();
    (http::Response::from_parts(parts, ()), whole, trailers)
}

#[tokio::test]
async fn an_answer_that_is_trailers_only_passes_unchanged() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let rig = Rig::before(&containerd);
    for path in [
        "/runtime.v1.RuntimeService/NoSuchMethod",
        "/no.Such/Service",
    ] {
        let (direct, whole, trailers) = raw(&containerd.socket(), path).await;
        assert_eq!(direct.headers()["grpc-status"], "12", "UNIMPLEMENTED");
        assert!(whole && trailers.is_none());
        let (relayed, whole, trailers) = raw(&rig.socket, path).await;
        assert!(whole && trailers.is_none());
        assert_eq!(relayed.status(), direct.status());
        let fields = |response: &http::Response<()>| {
            let all = response.headers().iter();
            all.map(|(n, v)| (n.clone(), v.clone())).collect::<Vec<_>>()
        };
        assert_eq!(fields(&relayed), fields(&direct), "{path}");
    }
}

#[tokio::test]
async fn a_caller_that_says_the_sockets_path_for_an_authority_is_answered() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let rig = Rig::before(&containerd);
    let socket = rig.socket.clone();
    let name = socket.display().to_string();
    let calls = move || {
        let mut frames = Frames::connect_unix(&socket);
        let encoded = name.replace('/', "%2F");
        for (stream, authority) in [(1, &name), (3, &encoded), (5, &String::new())] {
            let fields: [Field<'_>; 6] = [
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", VERSION.as_bytes()),
                (b":authority", authority.as_bytes()),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
            ];
            frames.head(stream, &fields, false);
            frames.last_data(stream, &[0; 5]);
            assert_eq!(
                frames.answered(stream),
                Answered::Status(200),
                "{authority}"
            );
        }
    };
    within(tokio::task::spawn_blocking(calls))
        .await
        .expect("answers");
    for span in rig.spans(3).await {
        assert_eq!(span.text("rpc.response.status_code"), "OK");
        assert_eq!(span.text("server.address"), "localhost");
    }
}

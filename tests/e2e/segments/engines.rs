//! Segments on every engine: a watch through which nothing comes is seen all the same.

use std::sync::Arc;

use tokio::sync::Notify;

use super::*;

/// Answers with a head, and with an end when it is told to.
fn watched(go: Arc<Notify>) -> Upstream {
    Upstream::start(|listener| async move {
        let mut connection = streams::accept(&listener).await;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let go = Arc::clone(&go);
            tokio::spawn(async move {
                let mut send = respond
                    .send_response(Response::new(()), false)
                    .expect("sent");
                send.send_data(Bytes::from_static(b"begun"), false)
                    .expect("sent");
                go.notified().await;
                send.send_data(Bytes::from_static(b"end"), true)
                    .expect("sent");
            });
        }
    })
}

fn assert_watch(receiver: &Receiver) {
    let mut spans = receiver.spans();
    assert!(spans.len() >= 3, "{}", spans.len());
    assert_chain(&mut spans);
    let last = spans.last().expect("segments");
    assert_eq!(number(last, "http.response.status_code"), Some(200));
    assert_eq!(attribute(&last.attributes, "tracegate.cancelled"), None);
}

/// A watch of a caller of HTTP/2, which ends when it is let `go` after two spans; what came of it.
fn watch_over_http2(proxy: &Proxy, go: impl FnOnce()) -> Vec<u8> {
    streams::run(async {
        let (mut caller, _ended) = streams::connect(proxy.at(0)).await;
        let mut request = streams::request(Method::GET, proxy.at(0), "/watch");
        let context = format!("00-{TRACE}-{PARENT}-01");
        let context = HeaderValue::from_str(&context).expect("a value");
        request.headers_mut().insert("traceparent", context);
        let (response, _) = caller.send_request(request, true).expect("sent");
        let mut body = soon(response).await.expect("an answer").into_body();
        soon(streams::until(|| proxy.export().recorded() >= 2)).await;
        go();
        soon(streams::collect(&mut body)).await.expect("a body").0
    })
}

#[test]
fn a_watch_over_http2_is_seen_in_segments() {
    let (receiver, go) = (Receiver::start(Speaks::Grpc), Arc::new(Notify::new()));
    let upstream = watched(Arc::clone(&go));
    let proxy = Proxy::start(&yaml(&upstream.url(), &receiver, ""));
    let bytes = watch_over_http2(&proxy, || go.notify_one());
    assert_eq!(bytes, b"begunend");
    proxy.stop();
    assert_watch(&receiver);
}

#[test]
fn a_watch_from_http1_to_http2_is_seen_in_segments() {
    let (receiver, go) = (Receiver::start(Speaks::Grpc), Arc::new(Notify::new()));
    let upstream = watched(Arc::clone(&go));
    let url = format!("{}\", protocol: \"http2", upstream.url());
    let proxy = Proxy::start(&yaml(&url, &receiver, ""));
    let caller = &mut watch(&proxy);
    until(&proxy, 2);
    go.notify_one();
    let patience = Instant::now() + PATIENCE;
    let mut got = Vec::new();
    while !got.ends_with(b"0\r\n\r\n") {
        assert!(Instant::now() < patience, "the end comes");
        got.extend(caller.some());
    }
    proxy.stop();
    assert_watch(&receiver);
}

#[test]
fn a_watch_from_http2_to_http1_is_seen_in_segments() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let component = Scripted::start(1, move |_, mut wire| {
        wire.head();
        wire.send(WATCH);
        let _ = wait.recv();
        wire.send("3\r\nend\r\n0\r\n\r\n");
        wire.rest();
    });
    let url = format!("{}\", protocol: \"http1", component.url());
    let proxy = Proxy::start(&yaml(&url, &receiver, ""));
    let bytes = watch_over_http2(&proxy, || go.send(()).expect("the component waits"));
    assert_eq!(bytes, b"end");
    proxy.stop();
    assert_watch(&receiver);
}

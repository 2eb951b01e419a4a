//! Segments and counts of requests that are sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::*;

/// Reads the first request whole, waits, and declares it unprocessed; answers the others.
fn refusing(wait: Duration) -> Upstream {
    let seen = Arc::new(AtomicU32::new(0));
    Upstream::start(move |listener| async move {
        loop {
            let mut connection = streams::accept(&listener).await;
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let first = seen.fetch_add(1, Relaxed) == 0;
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let _ = streams::collect(&mut body).await;
                        if first {
                            tokio::time::sleep(wait).await;
                            return respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        let mut send = respond
                            .send_response(Response::new(()), false)
                            .expect("sent");
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", HeaderValue::from_static("0"));
                        send.send_trailers(trailers).expect("sent");
                    });
                }
            });
        }
    })
}

/// Calls with two messages through an egress listener; its spans in the order they began.
fn call(wait: Duration) -> Vec<Span> {
    let (receiver, upstream) = (Receiver::start(Speaks::Grpc), refusing(wait));
    let config =
        yaml(&upstream.url(), &receiver, "").replace("trust:", "direction: egress\n  trust:");
    let proxy = Proxy::start(&config);
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut request = streams::request(Method::POST, address, "/a.B/C");
        let fields = request.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("application/grpc"));
        let context = format!("00-{TRACE}-{PARENT}-01");
        let context = HeaderValue::from_str(&context).expect("a value");
        fields.insert("traceparent", context);
        let (response, mut send) = caller.send_request(request, false).expect("sent");
        let messages = Bytes::from_static(b"\0\0\0\0\x01a\0\0\0\0\x01b");
        send.send_data(messages, true).expect("sent");
        let mut body = soon(response).await.expect("an answer").into_body();
        soon(streams::collect(&mut body)).await.expect("a body");
    });
    proxy.stop();
    let mut spans = receiver.spans();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

#[test]
fn each_attempt_counts_the_messages_it_sent() {
    let spans = call(Duration::ZERO);
    let counts = spans
        .iter()
        .map(|span| number(span, "tracegate.rpc.request_messages"));
    assert_eq!(counts.collect::<Vec<_>>(), [Some(2), Some(2)]);
}

#[test]
fn an_attempt_after_a_long_one_is_no_segment_of_it() {
    let spans = call(Duration::from_millis(1_500));
    let seen = spans.iter().map(|span| {
        let segment = number(span, "tracegate.segment");
        let continued = attribute(&span.attributes, "tracegate.continued").is_some();
        (
            segment,
            continued,
            span.links.len(),
            number(span, "tracegate.rpc.request_messages"),
        )
    });
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            (Some(1), true, 0, Some(2)),
            (Some(2), false, 1, Some(0)),
            (None, false, 0, Some(2)),
        ]
    );
}

//! What says how long a message is: lengths, chunks, and messages that have no body.

use http::{Method, Response};
use http_body_util::Full;

use super::{PAIRINGS, towards};
use crate::caller::{Caller, Speaks, block_on, empty, full, trailed};
use crate::component::Component;
use crate::wire::{self, Scripted, Wire};

#[test]
fn head_says_the_length_that_get_would_have_and_sends_nothing() {
    let component = Component::answering(|seen| {
        let response = Response::builder();
        match (seen.method == Method::HEAD, seen.uri.path()) {
            (true, "/known") => response.header("content-length", "4711"),
            _ => response,
        }
        .body(Full::default())
        .expect("a response")
    });
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            for (path, expected) in [("/known", Some("4711"))] {
                let request = caller.request(Method::HEAD, path);
                let answer = caller
                    .exchange(request.body(empty()).expect("a request"))
                    .await;
                let pairing = format!("{path}, {down:?} to {up:?}");
                assert_eq!(answer.status, 200, "{pairing}");
                assert_eq!(
                    answer.field("content-length").as_deref(),
                    expected,
                    "{pairing}"
                );
                assert_eq!(answer.body, "", "{pairing}");
            }
            // The connection is still in step.
            assert_eq!(caller.get("/after").await.status, 200);
        });
    }
}

#[test]
fn head_without_a_length_gets_none_made_up() {
    let component = Scripted::start(2, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n");
    });
    for down in Speaks::BOTH {
        let proxy = towards(&component.url(), Speaks::Http1);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let request = caller.request(Method::HEAD, "/");
            let answer = caller
                .exchange(request.body(empty()).expect("a request"))
                .await;
            assert_eq!(answer.field("content-length"), None, "{down:?}");
            assert_eq!(answer.field("x-a").as_deref(), Some("b"), "{down:?}");
        });
    }
    component.join();
}

#[test]
fn answers_without_a_body_by_their_status_have_none_and_keep_their_fields() {
    let component = Component::answering(|seen| {
        let response = match seen.uri.path() {
            "/204" => Response::builder().status(204),
            _ => Response::builder()
                .status(304)
                .header("content-length", "99"),
        };
        response
            .header("etag", "\"v1\"")
            .body(Full::default())
            .expect("a response")
    });
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            // The engine leaves 304's length, which is optional, out of HTTP/1.1.
            let length = (down, up) == (Speaks::Http2, Speaks::Http2);
            let length = length.then_some("99");
            for (path, status, length) in [("/204", 204, None), ("/304", 304, length)] {
                let answer = caller.get(path).await;
                let pairing = format!("{path}, {down:?} to {up:?}");
                assert_eq!(answer.status, status, "{pairing}");
                assert_eq!(answer.field("etag").as_deref(), Some("\"v1\""), "{pairing}");
                assert_eq!(
                    answer.field("content-length").as_deref(),
                    length,
                    "{pairing}"
                );
                assert_eq!(answer.field("transfer-encoding"), None, "{pairing}");
                assert_eq!(answer.body, "", "{pairing}");
            }
        });
    }
}

#[test]
fn bodies_pass_whatever_the_method_and_whether_their_length_is_known() {
    let component = Component::start();
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
    ];
    let mut count = 0;
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            for method in methods {
                for known in [true, false] {
                    let body = if known {
                        full("some body")
                    } else {
                        trailed(&["some ", "body"], http::HeaderMap::new())
                    };
                    let method = Method::from_bytes(method.as_bytes()).expect("a method");
                    let mut request = caller.request(method.clone(), "/");
                    if down == Speaks::Http1 && !known {
                        request = request.header("transfer-encoding", "chunked");
                    }
                    let answer = caller
                        .exchange(request.body(body).expect("a request"))
                        .await;
                    count += 1;
                    let seen = component.wait_for(count).pop().expect("a request");
                    let case = format!("{method}, known: {known}, {down:?} to {up:?}");
                    assert_eq!(seen.method, method, "{case}");
                    assert_eq!(seen.body, "some body", "{case}");
                    assert_eq!(answer.text(), "some body", "{case}");
                    let length = known.then(|| "9".to_owned());
                    assert_eq!(seen.value("content-length"), length, "{case}");
                }
            }
        });
    }
}

#[test]
fn a_request_without_a_body_gets_none_and_a_zero_length_stays_said() {
    let component = Component::start();
    let mut count = 0;
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let expected = match method {
                    Method::POST | Method::PUT => Some("0".to_owned()),
                    _ => None,
                };
                let mut request = caller.request(method.clone(), "/");
                if down == Speaks::Http1 && expected.is_some() {
                    request = request.header("content-length", "0");
                }
                caller
                    .exchange(request.body(empty()).expect("a request"))
                    .await;
                count += 1;
                let seen = component.wait_for(count).pop().expect("a request");
                let case = format!("{method}, {down:?} to {up:?}");
                assert_eq!(seen.value("transfer-encoding"), None, "{case}");
                // An HTTP/2 stream that ends with its head needs no length.
                if up == Speaks::Http1 {
                    assert_eq!(seen.value("content-length"), expected, "{case}");
                }
            }
        });
    }
}

#[test]
fn an_answer_of_unknown_length_ends_with_the_connection_for_http_1_0() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire.send("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    });
    let proxy = towards(&component.url(), Speaks::Http1);
    let answer = wire::exchange(
        proxy.at(0),
        "GET / HTTP/1.0\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n",
    );
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body, "hello world");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.0 200"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(!head.contains("keep-alive"), "{head}");
    component.join();
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole_in_either_version() {
    let component = Scripted::start(2, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end");
    });
    for down in Speaks::BOTH {
        let proxy = towards(&component.url(), Speaks::Http1);
        let answer = block_on(async { Caller::tcp(proxy.at(0), down).await.get("/").await });
        assert_eq!(answer.text(), "to the end", "{down:?}");
        assert_eq!(answer.length, None, "{down:?}");
    }
    component.join();
}

#[test]
fn an_answer_cut_short_is_never_passed_off_as_whole() {
    let component = Scripted::start(4, |index, mut wire| {
        wire.head();
        wire.send(match index % 2 {
            0 => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        });
    });
    for down in Speaks::BOTH {
        for _ in 0..2 {
            let proxy = towards(&component.url(), Speaks::Http1);
            block_on(async {
                let mut caller = Caller::tcp(proxy.at(0), down).await;
                let request = caller.request(Method::POST, "/");
                let response = caller
                    .send(request.body(full("x")).expect("a request"))
                    .await;
                let body = http_body_util::BodyExt::collect(response.into_body()).await;
                assert!(body.is_err(), "{down:?}: {body:?}");
            });
        }
    }
    component.join();
}

#[test]
fn a_request_cut_short_never_reaches_the_component_as_whole() {
    let component = Scripted::start(2, |_, mut wire| {
        let head = wire.head();
        assert!(head.starts_with("POST"), "{head}");
        let rest = wire.rest();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains("part"), "{rest}");
        assert!(!rest.contains("\r\n0\r\n"), "{rest}");
    });
    for framing in [
        "Content-Length: 100\r\n\r\npart",
        "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let proxy = towards(&component.url(), Speaks::Http1);
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(format!("POST / HTTP/1.1\r\nHost: example.com\r\n{framing}"));
        caller.finish();
        caller.rest();
    }
    component.join();
}

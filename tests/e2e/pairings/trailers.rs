//! Trailers, both ways. HTTP/1.1 needs `Trailer` beside them and, for answers, a caller that
//! says `TE: trailers`.

use http::{HeaderMap, HeaderValue, Method, Response};

use super::{PAIRINGS, towards};
use crate::caller::{Caller, Speaks, block_on, trailed};
use crate::component::Component;
use crate::server::{Listen, Server};

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("abc"));
    trailers.append("x-twice", HeaderValue::from_static("1"));
    trailers.append("x-twice", HeaderValue::from_static("2"));
    trailers
}

const NAMES: &str = "x-checksum, x-twice";

#[test]
fn trailers_of_a_request_pass_in_every_pairing() {
    let component = Component::start();
    for (number, (down, up)) in PAIRINGS.into_iter().enumerate() {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let request = caller.request(Method::POST, "/").header("trailer", NAMES);
            let body = trailed(&["one", "two"], trailers());
            caller
                .exchange(request.body(body).expect("a request"))
                .await;
        });
        let seen = component.wait_for(number + 1).pop().expect("a request");
        assert_eq!(seen.body, "onetwo", "{down:?} to {up:?}");
        assert_eq!(seen.trailers, Some(trailers()), "{down:?} to {up:?}");
        assert_eq!(
            seen.value("trailer").as_deref(),
            Some(NAMES),
            "{down:?} to {up:?}"
        );
    }
}

#[test]
fn trailers_of_an_answer_pass_in_every_pairing() {
    let server = Server::start(Listen::Tcp, |request| async move {
        assert_eq!(request.headers()["te"], "trailers");
        Response::builder()
            .header("trailer", NAMES)
            .body(trailed(&["one", "two"], trailers()))
            .expect("a response")
    });
    for (down, up) in PAIRINGS {
        let proxy = towards(server.url(), up);
        let answer = block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let request = caller.request(Method::GET, "/").header("te", "trailers");
            caller
                .exchange(request.body(crate::caller::empty()).expect("a request"))
                .await
        });
        assert_eq!(answer.text(), "onetwo", "{down:?} to {up:?}");
        assert_eq!(answer.trailers, Some(trailers()), "{down:?} to {up:?}");
    }
}

#[test]
fn an_http1_caller_that_wants_no_trailers_gets_the_answer_without() {
    let server = Server::start(Listen::Tcp, |_| async {
        Response::builder()
            .header("trailer", NAMES)
            .body(trailed(&["one", "two"], trailers()))
            .expect("a response")
    });
    for up in Speaks::BOTH {
        let proxy = towards(server.url(), up);
        let answer = block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), Speaks::Http1).await;
            let first = caller.get("/").await;
            // The connection is still in step.
            assert_eq!(caller.get("/").await.text(), first.text());
            first
        });
        assert_eq!(answer.text(), "onetwo", "{up:?}");
        assert_eq!(answer.trailers, None, "{up:?}");
    }
}

#[test]
fn an_http2_upstreams_unannounced_trailers_do_not_break_an_http1_answer() {
    let server = Server::start(Listen::Tcp, |_| async {
        Response::new(trailed(&["one", "two"], trailers()))
    });
    let proxy = towards(server.url(), Speaks::Http2);
    block_on(async {
        let mut caller = Caller::tcp(proxy.at(0), Speaks::Http1).await;
        for _ in 0..2 {
            let request = caller.request(Method::GET, "/").header("te", "trailers");
            let body = crate::caller::empty();
            let answer = caller
                .exchange(request.body(body).expect("a request"))
                .await;
            assert_eq!(answer.text(), "onetwo");
        }
    });
}

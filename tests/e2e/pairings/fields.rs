//! Fields of heads: case, order, duplicates, and what HTTP/2 splits.

use http::Method;

use super::{PAIRINGS, towards, towards_with};
use crate::caller::{Caller, Speaks, block_on, empty, full};
use crate::component::Component;
use crate::wire::{self, Scripted};

/// The field lines of a head that the other side wrote, without those the proxy adds.
fn lines(head: &str) -> Vec<&str> {
    let ours = [
        "x-forwarded-for:",
        "x-forwarded-proto:",
        "traceparent:",
        "tracestate:",
    ];
    let fields = head.split("\r\n").skip(1).filter(|line| !line.is_empty());
    fields
        .filter(|line| {
            !ours
                .iter()
                .any(|o| line.to_ascii_lowercase().starts_with(o))
        })
        .collect()
}

#[test]
fn http1_fields_keep_case_order_and_duplicates_in_both_directions() {
    let sent = [
        "Host: example.com",
        "X-CamelCase: 1",
        "x-lower: 2",
        "X-UPPER: 3",
        "x-Twice: first",
        "Accept: */*",
        "X-tWICE: second",
        "x-empty: ",
        "X-Odd: a,  b;c=\"d, e\" \t f",
    ];
    let arrives = [
        "Host: example.com",
        "X-CamelCase: 1",
        "x-lower: 2",
        "X-UPPER: 3",
        "x-Twice: first",
        "Accept: */*",
        "X-tWICE: second",
        "x-empty: ",
        "X-Odd: a,  b;c=\"d, e\" \t f",
    ];
    let answered = [
        "SERVER: odd",
        "Set-Cookie: a=1",
        "ETag: \"x\"",
        "set-cookie: b=2",
        "X-Z: z",
    ];
    let returns = [
        "SERVER: odd",
        "Set-Cookie: a=1",
        "ETag: \"x\"",
        "set-cookie: b=2",
        "X-Z: z",
    ];

    let component = Scripted::start(1, move |_, mut wire| {
        let head = wire.head();
        assert_eq!(lines(&head), arrives, "{head}");
        let fields = answered.join("\r\n");
        wire.send(format!(
            "HTTP/1.1 200 Fine\r\n{fields}\r\nContent-Length: 0\r\n\r\n"
        ));
    });
    let proxy = towards(&component.url(), Speaks::Http1);
    let mut caller = wire::Wire::connect(proxy.at(0));
    caller.send(format!("GET / HTTP/1.1\r\n{}\r\n\r\n", sent.join("\r\n")));
    let head = caller.head();
    let mut expected = returns.to_vec();
    expected.push("Content-Length: 0");
    assert_eq!(lines(&head), expected, "{head}");
    assert!(head.starts_with("HTTP/1.1 200 Fine\r\n"), "{head}");
    drop(caller);
    component.join();
}

#[test]
fn duplicate_fields_stay_apart_and_in_order_in_every_pairing() {
    let component = Component::answering(|_| {
        http::Response::builder()
            .header("set-cookie", "a=1; Path=/")
            .header("x-many", "1")
            .header("set-cookie", "b=2; Path=/")
            .header("x-many", "2, 3")
            .body(Default::default())
            .expect("a response")
    });
    for (number, (down, up)) in PAIRINGS.into_iter().enumerate() {
        let proxy = towards(&component.url(), up);
        let answer = block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let request = caller.request(Method::GET, "/");
            let request = request
                .header("accept", "text/html")
                .header("x-many", "one")
                .header("accept", "text/plain;q=0.5")
                .header("x-many", "two, three")
                .header("x-utf8", "h\u{e9}llo");
            caller
                .exchange(request.body(empty()).expect("a request"))
                .await
        });
        let pairing = format!("{down:?} to {up:?}");
        let seen = component.wait_for(number + 1).pop().expect("a request");
        assert_eq!(seen.version, up.version(), "{pairing}");
        assert_eq!(
            seen.values("accept"),
            ["text/html", "text/plain;q=0.5"],
            "{pairing}"
        );
        assert_eq!(seen.values("x-many"), ["one", "two, three"], "{pairing}");
        assert_eq!(seen.values("x-utf8"), ["h\u{e9}llo"], "{pairing}");
        let cookies = answer.field("set-cookie").expect("cookies");
        assert_eq!(cookies, "a=1; Path=/ | b=2; Path=/", "{pairing}");
        assert_eq!(
            answer.field("x-many").expect("kept"),
            "1 | 2, 3",
            "{pairing}"
        );
    }
}

#[test]
fn date_and_server_pass_and_are_never_made_up() {
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let component = Component::answering(|seen| {
        let mut response = http::Response::builder();
        if seen.uri.path() == "/with" {
            response = response.header("date", DATE).header("server", "odd/1 (x)");
        }
        response.body(Default::default()).expect("a response")
    });
    // The component itself adds a date where the test sets none: only a raw one can leave it out.
    let silent = Scripted::start(2, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        let answer = block_on(async { Caller::tcp(proxy.at(0), down).await.get("/with").await });
        assert_eq!(
            answer.field("date").as_deref(),
            Some(DATE),
            "{down:?} to {up:?}"
        );
        assert_eq!(answer.field("server").as_deref(), Some("odd/1 (x)"));
    }
    for down in Speaks::BOTH {
        let proxy = towards(&silent.url(), Speaks::Http1);
        let answer = block_on(async { Caller::tcp(proxy.at(0), down).await.get("/").await });
        assert_eq!(answer.field("date"), None, "{down:?}");
        assert_eq!(answer.field("server"), None, "{down:?}");
    }
    silent.join();
}

/// RFC 9113, section 8.2.3: one `Cookie` outside of HTTP/2.
#[test]
fn cookie_crumbs_become_one_field_towards_http1() {
    let component = Component::start();
    for (number, up) in Speaks::BOTH.into_iter().enumerate() {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), Speaks::Http2).await;
            let request = caller.request(Method::GET, "/");
            let request = request
                .header("cookie", "a=1")
                .header("x-between", "1")
                .header("cookie", "b=2; c=3")
                .header("cookie", "d=\"4\"");
            caller
                .exchange(request.body(empty()).expect("a request"))
                .await;
        });
        let seen = component.wait_for(number + 1).pop().expect("a request");
        let cookies = seen.values("cookie");
        match up {
            Speaks::Http1 => assert_eq!(cookies, ["a=1; b=2; c=3; d=\"4\""]),
            Speaks::Http2 => assert_eq!(cookies.join("; "), "a=1; b=2; c=3; d=\"4\""),
        }
    }
}

#[test]
fn hop_by_hop_fields_of_http1_never_reach_http2() {
    let component = Component::answering(|_| {
        http::Response::builder()
            .header("content-type", "text/plain")
            .body(http_body_util::Full::from("hello"))
            .expect("a response")
    });
    let proxy = towards(&component.url(), Speaks::Http2);
    let answer = wire::exchange(
        proxy.at(0),
        "POST / HTTP/1.1\r\nHost: example.com\r\nConnection: close, X-Private\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nX-Private: 1\r\n\
         TE: gzip, trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = component.wait_for(1).remove(0);
    assert_eq!(seen.body, "abc");
    for gone in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "x-private",
        "host",
    ] {
        assert_eq!(seen.values(gone), [""; 0], "{gone}");
    }
    assert_eq!(seen.values("te"), ["trailers"]);
}

#[test]
fn hop_by_hop_fields_of_an_http1_upstream_never_reach_http2() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\n\
             X-Private: 1\r\nX-Public: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n",
        );
    });
    let proxy = towards(&component.url(), Speaks::Http1);
    let answer = block_on(async { Caller::tcp(proxy.at(0), Speaks::Http2).await.get("/").await });
    assert_eq!(answer.text(), "hello");
    for gone in ["connection", "keep-alive", "transfer-encoding", "x-private"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!(answer.field("x-public").as_deref(), Some("1"));
    component.join();
}

#[test]
fn a_host_of_the_configuration_replaces_the_callers() {
    let component = Component::start();
    for (number, (down, up)) in PAIRINGS.into_iter().enumerate() {
        let proxy = towards_with(&component.url(), up, ", host: inner.example:8080");
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let request = caller.request(Method::POST, "/a?b");
            caller
                .exchange(request.body(full("x")).expect("a request"))
                .await;
        });
        let seen = component.wait_for(number + 1).pop().expect("a request");
        let authority = match up {
            Speaks::Http1 => seen.value("host"),
            Speaks::Http2 => {
                assert_eq!(seen.value("host"), None);
                seen.uri.authority().map(ToString::to_string)
            }
        };
        assert_eq!(
            authority.as_deref(),
            Some("inner.example:8080"),
            "{down:?} to {up:?}"
        );
    }
}

#[test]
fn large_heads_pass_in_every_pairing() {
    let component = Component::answering(|seen| {
        let mut response = http::Response::builder();
        for (name, value) in seen
            .headers
            .iter()
            .filter(|(n, _)| n.as_str().starts_with("x-l"))
        {
            response = response.header(name, value);
        }
        response.body(Default::default()).expect("a response")
    });
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        let answer = block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let mut request = caller.request(Method::GET, "/");
            for number in 0..40 {
                request = request.header(format!("x-l{number}"), "v".repeat(300));
            }
            caller
                .exchange(request.body(empty()).expect("a request"))
                .await
        });
        assert_eq!(answer.status, 200, "{down:?} to {up:?}");
        for number in 0..40 {
            let value = answer.field(&format!("x-l{number}"));
            assert_eq!(value, Some("v".repeat(300)), "{down:?} to {up:?}");
        }
    }
}

//! Targets: every form that may come in, in the form the upstream's version reads.

use http::Method;

use super::{PAIRINGS, towards};
use crate::caller::{Caller, Speaks, block_on, empty};
use crate::component::{Component, Seen};
use crate::wire;

/// Who was asked, wherever the version says it.
fn authority(seen: &Seen) -> Option<String> {
    let host = seen.value("host");
    let authority = seen.uri.authority().map(ToString::to_string);
    assert!(
        host.is_none() || authority.is_none(),
        "said twice: {seen:?}"
    );
    host.or(authority)
}

fn last(component: &Component, count: usize) -> Seen {
    component.wait_for(count).pop().expect("a request")
}

#[test]
fn host_becomes_authority_and_back_in_every_pairing() {
    let component = Component::start();
    let mut count = 0;
    for (down, up) in PAIRINGS {
        let proxy = towards(&component.url(), up);
        for host in ["example.com", "example.com:8443", "[::1]:80", "EXAMPLE.com"] {
            block_on(async {
                let mut caller = Caller::tcp(proxy.at(0), down).await;
                let request = http::Request::builder().method(Method::GET);
                let request = match down {
                    Speaks::Http1 => request.uri("/p/%20%2F?q=a%26b&c").header("host", host),
                    Speaks::Http2 => request.uri(format!("http://{host}/p/%20%2F?q=a%26b&c")),
                };
                caller
                    .exchange(request.body(empty()).expect("a request"))
                    .await;
            });
            count += 1;
            let seen = last(&component, count);
            assert_eq!(
                authority(&seen).as_deref(),
                Some(host),
                "{down:?} to {up:?}"
            );
            let target = seen.uri.path_and_query().map(|p| p.as_str());
            assert_eq!(target, Some("/p/%20%2F?q=a%26b&c"), "{down:?} to {up:?}");
            if up == Speaks::Http2 {
                assert_eq!(seen.uri.scheme_str(), Some("http"));
            }
        }
    }
}

#[test]
fn an_absolute_form_target_replaces_host_and_becomes_origin_form() {
    let component = Component::start();
    for (number, up) in Speaks::BOTH.into_iter().enumerate() {
        let proxy = towards(&component.url(), up);
        let answer = wire::exchange(
            proxy.at(0),
            "GET http://other.example:81/a?b=c HTTP/1.1\r\nHost: ignored.example\r\n\
             Connection: close\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let seen = last(&component, number + 1);
        assert_eq!(authority(&seen).as_deref(), Some("other.example:81"));
        let target = seen.uri.path_and_query().map(|p| p.as_str());
        assert_eq!(target, Some("/a?b=c"));
    }
}

#[test]
fn options_of_everything_passes_in_every_pairing() {
    let component = Component::start();
    for (number, (down, up)) in PAIRINGS.into_iter().enumerate() {
        let proxy = towards(&component.url(), up);
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            let request = http::Request::builder().method(Method::OPTIONS);
            let request = match down {
                Speaks::Http1 => request.uri("*").header("host", "example.com"),
                Speaks::Http2 => {
                    let mut uri = http::uri::Parts::default();
                    uri.scheme = Some(http::uri::Scheme::HTTP);
                    uri.authority = Some("example.com".parse().expect("an authority"));
                    uri.path_and_query = Some("*".parse().expect("a target"));
                    request.uri(http::Uri::from_parts(uri).expect("a target"))
                }
            };
            let answer = caller
                .exchange(request.body(empty()).expect("a request"))
                .await;
            assert_eq!(answer.status, 200, "{down:?} to {up:?}");
        });
        let seen = last(&component, number + 1);
        assert_eq!(seen.method, Method::OPTIONS);
        let target = seen.uri.path_and_query().map(|p| p.as_str());
        assert_eq!(target, Some("*"), "{down:?} to {up:?}");
        assert_eq!(
            authority(&seen).as_deref(),
            Some("example.com"),
            "{down:?} to {up:?}"
        );
    }
}

#[test]
fn http_1_0_is_served_with_and_without_a_host() {
    let component = Component::start();
    let mut count = 0;
    for up in Speaks::BOTH {
        let proxy = towards(&component.url(), up);
        for (host, expected) in [
            ("Host: old.example\r\n", "old.example".to_owned()),
            // Nobody was named: the component is asked by its own address.
            ("", component.address().to_string()),
        ] {
            let answer = wire::exchange(
                proxy.at(0),
                &format!("POST /status/201 HTTP/1.0\r\n{host}Content-Length: 3\r\n\r\nabc"),
            );
            assert!(
                answer.starts_with("HTTP/1.0 201 Created\r\n"),
                "{up:?}: {answer}"
            );
            assert!(answer.ends_with("\r\n\r\nabc"), "{up:?}: {answer}");
            count += 1;
            let seen = last(&component, count);
            assert_eq!(seen.version, up.version());
            assert_eq!(authority(&seen), Some(expected), "{up:?}");
            assert_eq!(seen.body, "abc");
        }
    }
}

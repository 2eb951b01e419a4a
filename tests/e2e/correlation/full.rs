//! More open requests than there are places: on a worker of the test's own, for no test opens so
//! many connections.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use tracegate::config::{self, FileText, Source, Strictness};
use tracegate::metrics::{Format, Registry};
use tracegate::proxy::caller::Caller;
use tracegate::proxy::connection::Connection;
use tracegate::proxy::correlation::{Found, Table};
use tracegate::proxy::exchange::Exchange;
use tracegate::proxy::head::Line;
use tracegate::proxy::listener::{Plan, Slot};
use tracegate::proxy::pipeline;
use tracegate::proxy::worker::Worker;
use tracegate::sample::sampler::Sampler;

use super::DEFAULT;
use crate::proxy::document;

/// More values than the table has places, by far.
const VALUES: usize = 200_000;

#[test]
fn requests_that_find_no_place_are_counted_and_served() {
    let text = document(&DEFAULT.yaml("http://a", "http://b", "http://c"));
    let source = Source {
        file: Some(FileText {
            path: "test.yaml".into(),
            text,
        }),
        ..Source::default()
    };
    let config = config::load(&source, Strictness::Check)
        .expect("valid")
        .config;
    let plans = config.listeners.iter().map(|listener| {
        let sampler = Sampler::new(&config.sampling, [7; 16]);
        Plan::unconnected(&listener.listen, &listener.proxy, sampler)
    });
    let names = config.listeners.iter();
    let names: Vec<_> = names
        .map(|l| (Arc::clone(&l.listen.name), l.proxy.direction))
        .collect();
    let registry = Registry::new(&names, 1);
    let table = Arc::new(Table::new([7; 16]));
    let worker = Worker::unread([7; 32], true);
    let worker = Rc::new(worker.beside(Arc::clone(&table)));
    let slots: Vec<_> = plans
        .enumerate()
        .map(|(n, plan)| Slot::new(&plan, &registry.shard(0).listener(n)))
        .collect();
    // The request, still open, and the trace it belongs to.
    let serve = |listener: usize, value: &str| {
        let counters = slots[listener].counters();
        let caller = Caller::known(None, None, Vec::new());
        let (worker, slot) = (Rc::clone(&worker), Rc::clone(&slots[listener]));
        let connection = Connection::unconnected(worker, slot, caller, (false, false));
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("a"));
        headers.insert("x-request-id", value.parse().expect("a value"));
        let mut exchange =
            Exchange::begin(&connection.worker, counters, &Method::GET, Instant::now());
        let line = Line {
            method: &Method::GET,
            uri: &Uri::from_static("/"),
            version: Version::HTTP_11,
        };
        let current = connection.slot.current();
        let passed = pipeline::request(&connection, &current, line, &mut headers, &mut exchange);
        assert!(passed.is_ok(), "it is served");
        let context = headers["traceparent"].to_str().expect("text");
        (exchange, context[3..35].to_owned())
    };
    let outcome = |listener: &str, outcome: &str, count: usize| {
        let text = registry.render(Format::Text);
        let name = "tracegate_correlations_total";
        let line = format!("{name}{{listener=\"{listener}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    };

    let name = HeaderName::from_static("x-request-id");
    let holds: Vec<_> = (0..VALUES)
        .map(|n| table.hold(&name, format!("other-{n}").as_bytes(), Found::Nothing))
        .collect();
    let kept = holds.iter().filter(|hold| hold.is_kept()).count();
    assert_eq!(kept, 65_536, "as the README says");
    let (open, trace) = serve(0, "a");
    outcome("in", "full", 1);
    let (_, asked) = serve(1, "a");
    assert_ne!(asked, trace, "it can't be found");
    outcome("out", "ambiguous", 1);
    drop(open);
    holds.into_iter().for_each(|hold| table.release(hold));
    let (open, trace) = serve(0, "a");
    let (_, asked) = serve(1, "a");
    assert_eq!(asked, trace, "there is a place again");
    outcome("in", "full", 1);
    outcome("out", "hit", 1);
    drop(open);
}

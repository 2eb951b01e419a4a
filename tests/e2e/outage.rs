//! What a collector gets, and what its absence costs: exactly the sampled spans, and nothing.

mod account;
mod traffic;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::background::listener;
use super::component::{Component, Seen};
use super::proxy::Proxy;
use super::receiver::{At, Behaviour, Receiver, Speaks};
use super::span_view::{View, views};
use account::Account;
use traffic::{Caller, p99};

/// Half of these may wait in the worker's ring, the other half behind it.
const QUEUE: u64 = 64;

/// Batches leave soon, so that tests needn't wait.
const SOON: &[(&str, &str)] = &[("OTEL_BSP_SCHEDULE_DELAY", "20")];

/// Incomplete batches never leave.
const NEVER: &[(&str, &str)] = &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")];

/// One ingress listener per trust, in front of one component.
fn proxy(component: &Component, export: &str, rate: u32, trusts: &[&str]) -> Proxy {
    Proxy::start_in(SOON, &document(component, export, rate, trusts))
}

fn document(component: &Component, export: &str, rate: u32, trusts: &[&str]) -> String {
    let url = component.url();
    let listeners: String = trusts
        .iter()
        .map(|trust| {
            format!(
                "- name: {trust}\n  bind: 127.0.0.1:0\n  trust: {{default: {trust}}}\n  \
                 upstream: {{url: \"{url}\"}}\n"
            )
        })
        .collect();
    format!(
        "tracing:\n  samplingRatePerMillion: {rate}\n  export: {export}\nworkers: 1\n\
         drainTimeout: 1s\nhealth: {{bind: 127.0.0.1:0}}\nlisteners:\n{listeners}"
    )
}

fn grpc(endpoint: &str) -> String {
    format!("{{endpoint: \"{endpoint}\"}}")
}

/// A parsed `traceparent` as it reached the component.
struct Context {
    trace: String,
    span: String,
    sampled: bool,
    state: String,
}

impl Context {
    fn of(seen: &Seen) -> Self {
        let traceparent = seen.value("traceparent").expect("a context");
        let parts: Vec<&str> = traceparent.split('-').collect();
        Self {
            trace: parts[1].to_owned(),
            span: parts[2].to_owned(),
            sampled: u8::from_str_radix(parts[3], 16).expect("flags") & 1 == 1,
            state: seen.value("tracestate").unwrap_or_default(),
        }
    }

    /// The randomness a consistent decision is made with.
    fn randomness(&self) -> u64 {
        let digits = match self.state.split_once("rv:") {
            Some((_, rv)) => &rv[..14],
            None => &self.trace[18..],
        };
        u64::from_str_radix(digits, 16).expect("hexadecimal digits")
    }
}

#[test]
fn a_collector_gets_exactly_the_spans_the_rule_chooses() {
    /// A quarter of all is kept: those of 2^56 whose randomness is in the last quarter.
    const RATE: u32 = 250_000;
    const THRESHOLD: u64 = 3 << 54;
    const REQUESTS: usize = 1500;
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let export = grpc(receiver.endpoint());
    let proxy = proxy(&component, &export, RATE, &["drop", "ids", "full"]);
    let callers: Vec<_> = (0..3).map(|index| proxy.at(index)).collect();
    let callers: Vec<_> = callers
        .into_iter()
        .zip(["a", "b", "c"])
        .map(|(address, digit)| {
            std::thread::spawn(move || {
                let mut caller = Caller::connect(address);
                for number in 0..REQUESTS {
                    // Whatever the caller says of sampling, only `full` may hear it.
                    let flag = if number % 10 == 0 { "01" } else { "00" };
                    let trace = format!("{}{number:016x}", digit.repeat(16));
                    let lines = format!("traceparent: 00-{trace}-00f067aa0ba902b7-{flag}\r\n");
                    caller.request(&lines);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().expect("every request succeeds");
    }
    let seen: Vec<Seen> = component.wait_for(3 * REQUESTS);
    let status = proxy.stop_with_status();
    let received = views(&receiver);

    let mut expected = BTreeSet::new();
    let mut kept = [0, 0];
    for request in &seen {
        let traceparent = request.value("traceparent").expect("a context");
        if traceparent.starts_with("00-cccccccc") {
            // A trusted parent's decision is respected, bit for bit.
            let number = u64::from_str_radix(&traceparent[19..35], 16).expect("a number");
            let sampled = number % 10 == 0;
            assert_eq!(traceparent.ends_with("-01"), sampled, "{traceparent}");
            if sampled {
                let span = traceparent[36..52].to_owned();
                expected.insert((traceparent[3..35].to_owned(), span));
            }
            continue;
        }
        let context = Context::of(request);
        let chosen = context.randomness() >= THRESHOLD;
        assert_eq!(
            context.sampled, chosen,
            "{} {}",
            context.trace, context.state
        );
        assert_eq!(context.state.contains("th:c"), chosen, "{}", context.state);
        let ids = context.trace.starts_with("bbbbbbbb");
        assert_eq!(context.state.contains("rv:"), ids, "{}", context.state);
        if chosen {
            kept[usize::from(ids)] += 1;
            expected.insert((context.trace, context.span));
        }
    }
    let ids: BTreeSet<_> = received.iter().map(|s| (s.trace(), s.id())).collect();
    assert_eq!(received.len(), expected.len(), "none comes twice");
    assert_eq!(ids, expected);
    // 375 of 1500 with a standard deviation of 16.8: six of them are a fault.
    for kept in kept {
        assert!((275..475).contains(&kept), "{kept} of {REQUESTS} were kept");
    }
    assert_eq!(status.recorded(), expected.len() as u64);
    let parents = received.iter().filter(|s| s.parent() == "00f067aa0ba902b7");
    assert_eq!(
        parents.count(),
        kept[1] + REQUESTS / 10,
        "`drop` begins anew"
    );
    let linked = |span: &&View| !span.0.links.is_empty();
    assert_eq!(received.iter().filter(linked).count(), kept[0]);
}

/// A collector that does no good, and what keeps it so.
enum Broken {
    /// Nobody listens.
    Down(String),
    /// Connections are taken by the system, and nobody ever answers.
    Silent {
        endpoint: String,
        _socket: std::net::TcpListener,
    },
    /// A collector that behaves badly.
    Unwell(Receiver, &'static str),
}

impl Broken {
    fn all() -> Vec<(&'static str, Self)> {
        let unwell = |speaks, protocol, behaviour| {
            let receiver = Receiver::start(speaks);
            receiver.behave(behaviour);
            Self::Unwell(receiver, protocol)
        };
        let refuses = |code| unwell(Speaks::Grpc, "grpc", Behaviour::Code(code));
        let (down, address) = listener();
        drop(down);
        let (socket, quiet) = listener();
        let silent = Self::Silent {
            endpoint: format!("http://{quiet}"),
            _socket: socket,
        };
        let busy = Behaviour::Status(503, vec![("retry-after", "1")]);
        vec![
            ("down", Self::Down(format!("http://{address}"))),
            ("silent", silent),
            ("hung", unwell(Speaks::Grpc, "grpc", Behaviour::Hang)),
            ("unavailable", refuses(tonic::Code::Unavailable)),
            ("refusing", refuses(tonic::Code::PermissionDenied)),
            (
                "busy over HTTP",
                unwell(Speaks::Http, "http/protobuf", busy),
            ),
        ]
    }

    fn export(&self) -> String {
        let (endpoint, protocol) = match self {
            Self::Down(endpoint) | Self::Silent { endpoint, .. } => (endpoint.as_str(), "grpc"),
            Self::Unwell(receiver, protocol) => (receiver.endpoint(), *protocol),
        };
        format!(
            "{{endpoint: \"{endpoint}\", protocol: {protocol}, queueSpans: {QUEUE}, timeout: 1s}}"
        )
    }
}

/// 99th percentiles of requests that alternate between the two, in blocks.
fn compare(healthy: SocketAddr, broken: SocketAddr) -> (Duration, Duration) {
    let mut callers = [Caller::connect(healthy), Caller::connect(broken)];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        for (caller, times) in callers.iter_mut().zip(&mut times) {
            times.extend((0..50).map(|_| caller.request("")));
        }
    }
    let [healthy, broken] = times;
    (p99(healthy), p99(broken))
}

#[test]
fn a_broken_collector_costs_bounded_memory_and_no_request() {
    let component = Component::start();
    let receiver = Receiver::start(Speaks::Grpc);
    let healthy = proxy(&component, &grpc(receiver.endpoint()), 1_000_000, &["drop"]);
    let (mut sent, mut to_healthy) = (0, 0);
    for (kind, collector) in Broken::all() {
        let broken = proxy(&component, &collector.export(), 1_000_000, &["drop"]);
        let mut made = 0;
        // A busy machine may disturb one comparison, but hardly three.
        let calm = (0..3).any(|_| {
            let (without, with) = compare(healthy.at(0), broken.at(0));
            made += 500;
            to_healthy += 500;
            with <= 3 * without + Duration::from_millis(2)
        });
        assert!(
            calm,
            "{kind}: requests are slower than beside a healthy collector"
        );
        sent += made;

        let account = Account::until(&broken, "accounted for", |account| {
            account.recorded == made && account.adds_up() && account.waiting <= QUEUE
        });
        assert_eq!(account.exported, 0, "{kind}");
        assert!(account.dropped >= made - QUEUE, "{kind}: {account:?}");
        let status = broken.stop_with_status();
        assert_eq!(status.recorded(), made, "{kind}");
        let dropped: u64 = tracegate::export::Reason::ALL
            .iter()
            .map(|reason| {
                let sinks = status.sinks();
                let sinks: u64 = sinks.iter().map(|sink| sink.dropped(*reason)).sum();
                status.dropped(*reason) + sinks
            })
            .sum();
        assert_eq!(dropped, made, "{kind}: after the stop none is left waiting");
    }
    // Nobody else's trouble reached the healthy one.
    let account = Account::until(&healthy, "exported", |account| {
        account.exported == to_healthy && account.adds_up()
    });
    assert_eq!((account.dropped, account.waiting), (0, 0));
    assert_eq!(component.seen().len() as u64, sent + to_healthy);
}

#[test]
fn a_collector_that_comes_back_gets_what_was_kept() {
    let component = Component::start();
    let (down, address) = listener();
    drop(down);
    let hung = Receiver::start(Speaks::Grpc);
    hung.behave(Behaviour::Hang);
    for (endpoint, hung) in [
        (hung.endpoint().to_owned(), Some(&hung)),
        (format!("http://{address}"), None),
    ] {
        let export = format!("{{endpoint: \"{endpoint}\", queueSpans: {QUEUE}}}");
        let proxy = proxy(&component, &export, 1_000_000, &["drop"]);
        let before = component.seen().len();
        let mut caller = Caller::connect(proxy.at(0));
        for _ in 0..300 {
            caller.request("");
        }
        let account = Account::until(&proxy, "accounted for", |account| {
            account.recorded == 300 && account.adds_up() && account.dropped > 0
        });
        assert_eq!(account.exported, 0);
        assert!(
            account.waiting > 0 && account.waiting <= QUEUE,
            "{account:?}"
        );
        let back = match hung {
            Some(receiver) => {
                receiver.behave(Behaviour::Accept);
                None
            }
            None => Some(Receiver::start_at(Speaks::Grpc, At::Tcp(address), None)),
        };
        let recovered = Account::until(&proxy, "recovered", |account| {
            account.adds_up() && account.waiting == 0
        });
        assert_eq!(recovered.dropped, account.dropped);
        assert_eq!(recovered.exported, account.waiting);
        // New spans go through as if nothing had been.
        for _ in 0..10 {
            caller.request("");
        }
        let after = Account::until(&proxy, "exported", |account| {
            account.recorded == 310 && account.adds_up() && account.waiting == 0
        });
        assert_eq!(after.exported, recovered.exported + 10);
        drop(caller);
        proxy.stop();
        let receiver = back.as_ref().or(hung).expect("a collector");
        let received = views(receiver);
        assert_eq!(received.len() as u64, after.exported);
        let seen = component.seen().split_off(before);
        let known: BTreeSet<_> = seen.iter().map(Context::of).map(|c| c.span).collect();
        let ids: BTreeSet<_> = received.iter().map(View::id).collect();
        assert_eq!(ids.len(), received.len(), "none comes twice");
        assert!(ids.is_subset(&known), "none is made up");
    }
}

#[test]
fn a_span_in_a_batch_that_is_being_filled_is_accounted_for() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let export = grpc(receiver.endpoint());
    let document = document(&component, &export, 1_000_000, &["drop"]);
    let proxy = Proxy::start_in(NEVER, &document);
    let mut caller = Caller::connect(proxy.at(0));
    for _ in 0..10 {
        caller.request("");
    }
    Account::until(&proxy, "accounted for", |account| {
        let batched = proxy.export().drained() == 10;
        batched && account.recorded == 10 && account.waiting == 10 && account.adds_up()
    });
    drop(caller);
    proxy.stop();
    assert_eq!(receiver.spans().len(), 10, "the stop flushes them");
}

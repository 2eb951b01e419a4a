//! What an unsampled request may cost: no allocation, and a bounded number of instructions.
//!
//! Allocations are counted per thread by an allocator of our own. Instructions are counted by
//! running this very program again under valgrind's callgrind, with N and with 2N requests: what
//! start and harness cost is in both, so the difference is the requests' alone and the same on
//! every machine. Without valgrind that half is skipped, and says so.
#![deny(unsafe_code)]

use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use tracegate::context::baggage::Verdict;
use tracegate::context::extract::Inbound;
use tracegate::context::formats::{Fields, Format};
use tracegate::context::ids::{SpanId, TraceId};
use tracegate::context::ot::{Ot, U56};
use tracegate::context::propagation::Propagation;
use tracegate::context::traceparent::TraceParent;
use tracegate::context::tracestate::Outgoing;
use tracegate::context::trust::Trust;
use tracegate::context::untrusted::{Stripper, is_context};
use tracegate::metrics::labels::Version;
use tracegate::metrics::{Call, MethodClass, Registry};
use tracegate::proxy::correlation::fields::{enter, find};
use tracegate::proxy::correlation::held::Correlation;
use tracegate::proxy::correlation::{Found, Table};
use tracegate::sample::cap::Nanos;
use tracegate::sample::decision::Parent;
use tracegate::sample::rules::RuleId;
use tracegate::span::error_type::Ended;
use tracegate::span::record::{Direction, Outcome};

#[path = "../benches/context/flow.rs"]
mod flow;
use flow::{Flow, NAMES, TRACEPARENT};
#[path = "../benches/context/keep.rs"]
mod keep;

#[allow(
    unsafe_code,
    reason = "GlobalAlloc can't be implemented without; it only counts"
)]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        // Initialised by the compiler and without destructor: safe to touch in an allocator.
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    struct Counting;

    // SAFETY: every call goes to `System` as it came, which upholds the contract.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.set(COUNT.get() + 1);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            COUNT.set(COUNT.get() + 1);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// Allocations this thread makes while `work` runs.
    pub fn during<T>(work: impl FnOnce() -> T) -> u64 {
        let before = COUNT.get();
        drop(std::hint::black_box(work()));
        COUNT.get() - before
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(counting::during(|| black_box(Box::new(1))), 1);
    assert_eq!(counting::during(|| black_box(1)), 0);
}

#[test]
fn an_unsampled_request_allocates_nothing() {
    let tracestates: [&[&[u8]]; 4] = [
        &[],
        &[b"vendor=value", b"other=thing"],
        &[b"ot=th:8;rv:00000000000001,vendor=value"],
        &[b"not valid"],
    ];
    let traceparents: [&[&[u8]]; 4] = [
        &[],
        &[TRACEPARENT],
        &[TRACEPARENT, TRACEPARENT],
        &[b"not valid"],
    ];
    for trust in [Trust::Drop, Trust::Ids, Trust::Full] {
        let mut flow = Flow::new(trust, 0);
        for traceparent in traceparents {
            for tracestate in tracestates {
                // Under `ids` randomness of ours is put before the members of others: text that
                // has to live somewhere.
                let combined = trust == Trust::Ids
                    && traceparent == [TRACEPARENT]
                    && tracestate
                        .iter()
                        .any(|value| value.starts_with(b"vendor") || value.starts_with(b"ot"));
                let mut honest = false;
                let count = counting::during(|| {
                    let head = flow.request(black_box(traceparent), black_box(tracestate));
                    let flags = head.traceparent[54] & 1;
                    honest = !head.decision.sampled && flags == 0;
                    head
                });
                assert!(honest, "unsampled, and says so");
                let case = format!("{trust:?} {} {tracestate:?}", traceparent.len());
                assert_eq!(count > 0, combined, "{case}: {count} allocations");
            }
        }
    }
}

#[test]
fn a_sampled_root_allocates_nothing_for_its_context() {
    let mut flow = Flow::new(Trust::Drop, 1_000_000);
    let mut written = None;
    let count = counting::during(|| {
        let head = flow.request(black_box(&[]), black_box(&[]));
        written = Some(matches!(head.tracestate, Outgoing::Ours(_)) && head.decision.sampled);
    });
    assert_eq!((count, written), (0, Some(true)));
}

#[test]
fn what_might_be_kept_and_is_not_allocates_nothing_once_memory_is_there() {
    let mut pipeline = keep::Pipeline::new(&keep::plan(keep::OFF));
    for tracing in [keep::OFF, keep::ON] {
        pipeline.change(&keep::plan(tracing));
        for _ in 0..10 {
            pipeline.request();
        }
        let count = counting::during(|| (0..1000).for_each(|_| pipeline.request()));
        assert_eq!(count, 0, "{tracing}");
    }
}

/// Fields of a request.
struct Written(Vec<(HeaderName, Vec<u8>)>);

impl Fields for Written {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let same = move |field: &&(HeaderName, Vec<u8>)| field.0 == *name;
        self.0.iter().filter(same).map(|field| field.1.as_slice())
    }
}

#[test]
fn no_format_allocates_to_be_read_or_written() {
    let parent = TraceParent::parse(TRACEPARENT).expect("a context");
    for format in Format::ALL {
        let mut fields = Written(Vec::new());
        format.write(&parent, &mut |name, value| {
            fields.0.push((name, value.to_vec()));
        });
        let (mut bytes, mut read) = (0, None);
        let count = counting::during(|| {
            read = Inbound::read(black_box(&fields), &Format::ALL).valid();
            black_box(format).write(&parent, &mut |_, value| bytes += value.len());
        });
        assert_eq!(count, 0, "{format:?}");
        assert_eq!(read.is_some(), format != Format::Baggage, "{format:?}");
        assert_eq!(
            bytes,
            fields.0.iter().map(|field| field.1.len()).sum::<usize>()
        );
    }
}

#[test]
fn judging_names_and_baggage_allocates_nothing() {
    let stripper = Stripper::new(["x-request-id"]);
    let propagation = Propagation::default();
    let count = counting::during(|| {
        let names = NAMES.iter().filter(|name| {
            is_context(name) || stripper.is_context(name) || !propagation.passes(name)
        });
        (names.count(), Verdict::of([&b"a=1,b=2;p=3"[..]]))
    });
    assert_eq!(count, 0);
}

#[test]
fn counting_a_request_allocates_nothing_once_its_series_is_known() {
    let registry = Registry::new(&[("public".into(), Direction::Ingress)], 1);
    let listener = registry.shard(0).listener(0);
    let path = "/etcdserverpb.KV/Range";
    let count = |grpc: bool, recorded: bool| {
        let call = Call {
            method: MethodClass::Post,
            https: true,
            version: Version::Http2,
            rpc_method: listener.known_rpc().index(black_box(path)).filter(|_| grpc),
            ended: Ended {
                direction: Direction::Ingress,
                grpc,
                status: Some(200),
                grpc_status: Some(14).filter(|_| grpc),
                outcome: Outcome::Done,
            },
        };
        let span = TraceId::new(1).zip(SpanId::new(2)).filter(|_| recorded);
        let now = Instant::now();
        listener.finished(black_box(&call), Duration::ZERO, now, span);
    };
    for (grpc, recorded) in [(false, false), (true, false), (false, true), (true, true)] {
        let first = counting::during(|| count(grpc, recorded));
        assert!(first > 0, "a series' first request makes its place");
        let later = counting::during(|| (0..100).for_each(|_| count(grpc, recorded)));
        assert_eq!(later, 0, "gRPC {grpc}, recorded {recorded}");
    }
}

#[test]
fn joining_requests_allocates_nothing_once_there_are_places() {
    let open = Arc::new(Table::new([7; 16]));
    let [ingress, egress] = [(); 2].map(|()| Correlation::new(Arc::clone(&open)));
    let listed = ["x-request-id", "audit-id"].map(HeaderName::from_static);
    let values: Vec<HeaderMap> = (0..64)
        .map(|n| {
            let value = HeaderValue::from_str(&format!("request-{n}")).expect("a value");
            listed.iter().cloned().zip([value.clone(), value]).collect()
        })
        .collect();
    let context = TraceParent::parse(TRACEPARENT).ok();
    let ours = Ot {
        th: None,
        rv: Some(U56::MAX),
    };
    let mut held = [const { None }; 64];
    let mut round = |state: &Outgoing| {
        let places = held.iter_mut().zip(&values);
        for (held, fields) in places {
            assert!(enter(&ingress, held, &listed, fields, context, state));
        }
        let found = values.iter().map(|fields| find(&egress, &listed, fields));
        let joined = found.filter(|found| matches!(found, Some(Found::One(_))));
        assert_eq!(joined.count(), values.len());
        for held in &mut held {
            held.take().into_iter().for_each(|h| ingress.release(h));
        }
    };
    let first = counting::during(|| round(&Outgoing::Remove));
    assert!(first > 0, "the first requests make the places");
    for state in [Outgoing::Remove, Outgoing::Keep, Outgoing::fresh(ours)] {
        let later = counting::during(|| (0..100).for_each(|_| round(&state)));
        assert_eq!(later, 0, "{state:?}");
    }
}

// --- instructions ------------------------------------------------------------------------------

/// Set in the child: which work, and how often.
const WORK: &str = "TRACEGATE_TEST_WORK";
const REQUESTS: u64 = 2_000;

/// Most instructions of a decision; without optimisation nothing is inlined.
const DECISION: u64 = if cfg!(debug_assertions) { 2_000 } else { 150 };
/// Most instructions of parse, judge, decide and format.
const REQUEST: u64 = if cfg!(debug_assertions) {
    50_000
} else {
    1_000
};

/// Most instructions `tracing.keep` adds to a request that isn't kept.
const KEEP: u64 = if cfg!(debug_assertions) { 8_000 } else { 600 };

/// Not a test by itself: what the child under valgrind runs.
#[test]
#[ignore = "run by the test below, under valgrind"]
fn work_to_be_counted() {
    let work = std::env::var(WORK).unwrap_or_default();
    let Some((what, times)) = work.split_once(':') else {
        return;
    };
    let times: u64 = times.parse().expect("how often");
    let mut flow = Flow::new(Trust::Full, 100);
    let trace_id = TraceId::new(1).expect("not zero");
    let tracing = if what == "keep" { keep::ON } else { keep::OFF };
    let mut pipeline = keep::Pipeline::new(&keep::plan(tracing));
    for _ in 0..times {
        match what {
            "decision" => {
                let root = black_box(Parent::Root { trace_id });
                black_box(flow.sampler.decide(black_box(RuleId::NONE), root, Nanos(0)));
            }
            "request" => {
                black_box(flow.request(black_box(&[TRACEPARENT]), black_box(&[])));
            }
            "keep" | "pipeline" => pipeline.request(),
            other => panic!("expected decision, request, keep or pipeline, got {other}"),
        }
    }
}

#[test]
fn a_request_costs_a_bounded_number_of_instructions() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        // Past the harness's capture: a skip nobody sees is no skip.
        let _ = writeln!(std::io::stderr(), "skipped: valgrind not installed");
        return;
    }
    let of = |what, times| (instructions(what, 2 * times) - instructions(what, times)) / times;
    for (what, most) in [("decision", DECISION), ("request", REQUEST), ("keep", KEEP)] {
        let each = match what {
            // The whole pipeline is slow there; what it costs is the same every time.
            "keep" => of("keep", REQUESTS / 10).saturating_sub(of("pipeline", REQUESTS / 10)),
            _ => of(what, REQUESTS),
        };
        let _ = writeln!(
            std::io::stderr(),
            "{what}: {each} instructions, at most {most}"
        );
        assert!(
            (1..=most).contains(&each),
            "{what}: {each} instructions, expected 1 to {most}"
        );
    }
}

/// Instructions of the whole child.
fn instructions(what: &str, times: u64) -> u64 {
    let name = format!("tracegate-callgrind-{}-{what}-{times}", std::process::id());
    let report = std::env::temp_dir().join(name);
    let child = Command::new("valgrind")
        .args(["--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "work_to_be_counted",
            "--ignored",
            "--test-threads=1",
        ])
        .env(WORK, format!("{what}:{times}"))
        .output()
        .expect("valgrind runs");
    let _ = std::fs::remove_file(&report);
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{stderr}");
    let collected = stderr
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    collected
        .and_then(|(_, count)| count.trim().parse().ok())
        .expect("a line Collected : N")
}

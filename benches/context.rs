//! What trace context costs a request: `cargo bench --bench context`.
//!
//! Aims on one core of a current server: a decision 5 ns, parse + judge + decide + format
//! 100 ns, and 3 ns a name to see that it isn't context. `tracing.keep` may add 60 ns to a request
//! that isn't kept: the last row of its group, which measures both in turns. Machines differ and
//! have moods, so the very last line says all of that in units of each other, from one run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracegate::context::ids::{Flags, TraceId};
use tracegate::context::ot::Ot;
use tracegate::context::trust::Trust;
use tracegate::context::untrusted::is_context;
use tracegate::proxy::listener::Plan;
use tracegate::sample::cap::Nanos;
use tracegate::sample::decision::Parent;
use tracegate::sample::rules::RuleId;

#[path = "context/flow.rs"]
mod flow;
use flow::{Flow, NAMES, TRACEPARENT};
#[path = "context/keep.rs"]
mod keep;

fn decision(c: &mut Criterion) {
    let flow = Flow::new(Trust::Full, 100);
    let trace_id = TraceId::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).expect("not zero");
    let full = Parent::Full {
        trace_id,
        flags: Flags::SAMPLED,
        ot: Ot::NONE,
    };
    let mut group = c.benchmark_group("decision");
    for (name, parent) in [
        ("root", Parent::Root { trace_id }),
        ("ids", Parent::Ids { trace_id }),
        ("full", full),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                flow.sampler.decide(
                    black_box(RuleId::NONE),
                    black_box(parent),
                    black_box(Nanos(0)),
                )
            });
        });
    }
    group.finish();
}

fn parse_judge_decide_format(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse, judge, decide, format");
    let other: &[u8] = b"vendor=value,other=thing";
    for (name, trust, tracestate) in [
        ("drop", Trust::Drop, &[][..]),
        ("ids", Trust::Ids, &[]),
        ("full", Trust::Full, &[]),
        ("full with tracestate", Trust::Full, &[other]),
    ] {
        let mut flow = Flow::new(trust, 0);
        let head = flow.request(&[TRACEPARENT], tracestate);
        assert!(head.traceparent.starts_with(b"00-") && !head.decision.sampled);
        assert_eq!(
            head.tracestate.value().is_some(),
            trust == Trust::Ids,
            "only rv is new"
        );
        group.bench_function(name, |b| {
            b.iter(|| flow.request(black_box(&[TRACEPARENT]), black_box(tracestate)));
        });
    }
    group.finish();
}

fn names(c: &mut Criterion) {
    let mut group = c.benchmark_group("is_context");
    group.throughput(Throughput::Elements(NAMES.len() as u64));
    group.bench_function("12 ordinary names", |b| {
        b.iter(|| {
            black_box(&NAMES)
                .iter()
                .filter(|name| is_context(name))
                .count()
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("traceparent", |b| {
        b.iter(|| is_context(black_box("traceparent")))
    });
    group.finish();
}

fn kept(c: &mut Criterion) {
    let mut group = c.benchmark_group("an unsampled request through the pipeline");
    let plans = [keep::OFF, keep::ON].map(keep::plan);
    for (name, plan) in ["keep off", "keep on, not kept"].iter().zip(&plans) {
        let mut pipeline = keep::Pipeline::new(plan);
        group.bench_function(*name, |b| b.iter(|| pipeline.request()));
    }
    let mut turns = Turns::new(plans);
    group.bench_function("what keep adds, not kept", |b| {
        b.iter_custom(|requests| {
            let [off, on, _] = turns.take(requests.div_ceil(TURN));
            let added = on.saturating_sub(off).as_secs_f64() / TURN as f64;
            Duration::from_secs_f64(added * requests as f64)
        });
    });
    group.finish();
    let [off, on, flow] = turns.take(20_000).map(|time| time.as_secs_f64());
    let added = on - off;
    println!(
        "in one run: keep adds {:.2} of parse, judge, decide, format (drop), {:.1} % of a request",
        added / flow,
        100.0 * added / off
    );
}

/// Requests without and with `keep`, and what only decides, in turns, in the same memory, and
/// either first: where things lie and what else the machine does are worth more than what is
/// measured, and so meet all alike.
struct Turns {
    plans: [Plan; 2],
    pipeline: keep::Pipeline,
    flow: Flow,
}

impl Turns {
    fn new(plans: [Plan; 2]) -> Self {
        Self {
            pipeline: keep::Pipeline::new(&plans[0]),
            plans,
            flow: Flow::new(Trust::Drop, 0),
        }
    }

    /// The medians of so many turns: without, with, and deciding alone.
    fn take(&mut self, turns: u64) -> [Duration; 3] {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for turn in 0..turns.max(2) {
            for which in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
                self.pipeline.change(&self.plans[which]);
                time(WARM, || self.pipeline.request());
                times[which].push(time(TURN, || self.pipeline.request()));
            }
            let mut decide = || {
                black_box(self.flow.request(black_box(&[TRACEPARENT]), black_box(&[])));
            };
            time(WARM, &mut decide);
            times[2].push(time(TURN, decide));
        }
        times.map(middle)
    }
}

/// Requests measured at once, and those before that find everything cold.
const TURN: u64 = 64;
const WARM: u64 = 16;

fn time(requests: u64, mut request: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..requests).for_each(|_| request());
    start.elapsed()
}

/// The median.
fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn config() -> Criterion {
    Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
}

criterion_group! {
    name = context;
    config = config();
    targets = decision, parse_judge_decide_format, names, kept
}
criterion_main!(context);

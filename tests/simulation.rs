//! Ten million requests through five services that sample at different rates: what is kept are
//! whole traces, as far as the specification promises them, and every service's spans tell by their
//! `th` how many requests there were.
//!
//! The services are samplers, the network is a value: no clock, no sockets, fixed seeds. One in some
//! thousands of contexts is carried as text, too, and has to mean the same there.

use std::ops::AddAssign;

use tracegate::context::ids::{Flags, SpanId, TraceId};
use tracegate::context::ot::Ot;
use tracegate::context::traceparent::TraceParent;
use tracegate::context::tracestate::{Outgoing, TraceState};
use tracegate::sample::cap::Nanos;
use tracegate::sample::decision::{Decision, Parent};
use tracegate::sample::generator::IdGenerator;
use tracegate::sample::rules::RuleId;
use tracegate::sample::sampler::Sampler;
use tracegate::sample::settings::{PerMillion, Settings};
use tracegate::sample::threshold::Threshold;

const REQUESTS: u32 = 10_000_000;
const SERVICES: usize = 5;
/// Requests are divided among them; each has ids of its own.
const PARTS: u32 = 4;
/// How often a context is carried as text.
const TEXT: u32 = 4_096;

/// Neither rising nor falling along the way of a request.
const RATES: [u32; SERVICES] = [200_000, 500_000, 50_000, 2_000, 100_000];

/// What the services do with the context of whoever calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    /// The first starts the trace, the others trust their callers (`full`).
    Trusting,
    /// Each keeps the ids and decides for itself (`ids`), with one key for all.
    Ids,
    /// Each is left the decision by a trusted caller, as B3 can: it decides like a root.
    Deferred,
}

const CHAINS: [Chain; 3] = [Chain::Trusting, Chain::Ids, Chain::Deferred];

/// What the spans of one chain say.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    kept: [u64; SERVICES],
    /// Sum of the adjusted counts of the spans that were kept.
    estimated: [f64; SERVICES],
    texts: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.texts += other.texts;
        for service in 0..SERVICES {
            self.kept[service] += other.kept[service];
            self.estimated[service] += other.estimated[service];
        }
    }
}

fn sampler(rate: u32) -> Sampler {
    let settings = Settings {
        rate: PerMillion::new(rate).expect("at most a million"),
        ..Settings::default()
    };
    Sampler::new(&settings, [23; 16])
}

/// One trace through all services: each calls the next.
fn trace(chain: Chain, samplers: &[Sampler], trace_id: TraceId, text: bool, counts: &mut Counts) {
    counts.requests += 1;
    let mut before: Option<Decision> = None;
    let mut kept = [false; SERVICES];
    for (service, sampler) in samplers.iter().enumerate() {
        let parent = match (chain, before) {
            (Chain::Trusting, Some(before)) => Parent::Full {
                trace_id,
                flags: Flags::RANDOM.with_sampled(before.sampled),
                ot: before.ot,
            },
            (Chain::Ids, _) => Parent::Ids { trace_id },
            (Chain::Deferred, _) | (_, None) => Parent::Root { trace_id },
        };
        let decision = sampler.decide(RuleId::NONE, parent, Nanos(0));
        kept[service] = decision.sampled;
        if decision.sampled {
            counts.kept[service] += 1;
            let th = decision.ot.th.expect("a probability that is known is said");
            counts.estimated[service] += 1.0 / Threshold::new(th).probability();
        }
        if text {
            counts.texts += 1;
            assert_eq!(
                over_the_wire(trace_id, &decision),
                (trace_id, decision.sampled, decision.ot)
            );
        }
        before = Some(decision);
    }
    assert_whole(chain, kept);
}

/// The context as text and back.
fn over_the_wire(trace_id: TraceId, decision: &Decision) -> (TraceId, bool, Ot) {
    let sent = TraceParent {
        trace_id,
        parent_id: SpanId::new(1).expect("not zero"),
        flags: Flags::RANDOM.with_sampled(decision.sampled),
    };
    let read = TraceParent::parse(&sent.format()).expect("a context");
    let state = Outgoing::fresh(decision.ot);
    let state = TraceState::parse(state.value().map(str::as_bytes)).expect("a list");
    (read.trace_id, read.flags.sampled(), state.ot())
}

/// What a trace may miss: nothing where callers are trusted; elsewhere what is kept at a rate is kept
/// at every higher one, so that a child is there only if its parent is, or has the lower rate.
fn assert_whole(chain: Chain, kept: [bool; SERVICES]) {
    /// From the highest rate to the lowest.
    const ORDER: [usize; SERVICES] = [1, 0, 4, 2, 3];
    let consistent = match chain {
        Chain::Trusting => kept == [kept[0]; SERVICES],
        Chain::Ids | Chain::Deferred => ORDER.windows(2).all(|w| kept[w[0]] || !kept[w[1]]),
    };
    assert!(consistent, "{chain:?}: {kept:?}");
}

/// One part of the requests, in turns through every chain.
fn part(seed: u8) -> [Counts; CHAINS.len()] {
    let samplers = RATES.map(sampler);
    let mut ids = IdGenerator::new([seed; 32]);
    let mut counts = [Counts::default(); CHAINS.len()];
    for request in 0..REQUESTS / PARTS {
        let which = request as usize % CHAINS.len();
        let text = request % TEXT < CHAINS.len() as u32;
        let trace_id = ids.trace_id();
        trace(CHAINS[which], &samplers, trace_id, text, &mut counts[which]);
    }
    counts
}

/// The share of requests a service keeps.
fn probability(chain: Chain, service: usize) -> f64 {
    let decides = if chain == Chain::Trusting { 0 } else { service };
    let rate = PerMillion::new(RATES[decides]).expect("at most a million");
    Threshold::of(rate).expect("not never").probability()
}

#[test]
fn traces_stay_whole_and_spans_tell_how_many_requests_there_were() {
    let mut total = [Counts::default(); CHAINS.len()];
    std::thread::scope(|scope| {
        let parts = (1..=PARTS as u8).map(|seed| scope.spawn(move || part(seed)));
        for part in parts.collect::<Vec<_>>() {
            for (total, counts) in total.iter_mut().zip(part.join().expect("it holds")) {
                *total += counts;
            }
        }
    });
    let requests: u64 = total.iter().map(|counts| counts.requests).sum();
    assert_eq!(requests, u64::from(REQUESTS));
    for (chain, counts) in CHAINS.iter().zip(&total) {
        assert!(counts.texts > 1_000, "{} contexts were text", counts.texts);
        let truth = counts.requests as f64;
        for service in 0..SERVICES {
            let p = probability(*chain, service);
            // Of a binomial count, divided by p.
            let sigma = (truth * (1.0 - p) / p).sqrt();
            let estimated = counts.estimated[service];
            assert!(
                (estimated - truth).abs() <= 3.0 * sigma,
                "{chain:?}, service {service} at {p}: {estimated} of {truth}, sigma {sigma}"
            );
            let kept = counts.kept[service] as f64;
            assert!((kept - truth * p).abs() <= 3.0 * (truth * p * (1.0 - p)).sqrt());
        }
    }
}

#[test]
fn a_service_that_keeps_nothing_or_everything_of_its_own_still_follows_a_trusted_caller() {
    let [never, always, half] = [0, 1_000_000, 500_000].map(sampler);
    let mut ids = IdGenerator::new([9; 32]);
    let mut kept = 0;
    for _ in 0..10_000 {
        let trace_id = ids.trace_id();
        let first = half.decide(RuleId::NONE, Parent::Root { trace_id }, Nanos(0));
        kept += u32::from(first.sampled);
        for sampler in [&never, &always] {
            let parent = Parent::Full {
                trace_id,
                flags: Flags::RANDOM.with_sampled(first.sampled),
                ot: first.ot,
            };
            let then = sampler.decide(RuleId::NONE, parent, Nanos(0));
            assert_eq!((then.sampled, then.ot), (first.sampled, first.ot));
        }
    }
    assert!(
        (4_850..=5_150).contains(&kept),
        "{kept} of 10 000 at a half"
    );
}

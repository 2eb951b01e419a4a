//! One request's way through trust, sampling and context: what the proxy does between head and
//! head, shared by the benchmark and by the test that counts allocations and instructions.

use http::HeaderName;
use tracegate::context::callers::{Caller, Callers};
use tracegate::context::extract::Inbound;
use tracegate::context::formats::Fields;
use tracegate::context::ids::Flags;
use tracegate::context::propagation::Propagation;
use tracegate::context::traceparent::{LEN, TraceParent};
use tracegate::context::tracestate::{Outgoing, TraceState};
use tracegate::context::trust::{Policy, Rule, Trust};
use tracegate::sample::cap::Nanos;
use tracegate::sample::decision::{Decision, Parent};
use tracegate::sample::generator::IdGenerator;
use tracegate::sample::rules::RuleId;
use tracegate::sample::sampler::Sampler;
use tracegate::sample::settings::{PerMillion, Settings};

/// A context as callers send it, unsampled.
pub const TRACEPARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Names of a typical request.
pub const NAMES: [&str; 12] = [
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "authorization",
    "content-type",
    "content-length",
    "cookie",
    "cache-control",
    "x-forwarded-for",
    "x-request-id",
    "te",
];

/// A worker's share of the pipeline.
pub struct Flow {
    policy: Policy,
    caller: Caller<'static>,
    pub sampler: Sampler,
    pub ids: IdGenerator,
    propagation: Propagation,
}

/// A request that has no context but this.
struct Carried<'a>(&'a [&'a [u8]]);

impl Fields for Carried<'_> {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let there = name == "traceparent";
        self.0.iter().copied().filter(move |_| there)
    }
}

/// What goes on.
pub struct Head {
    pub traceparent: [u8; LEN],
    pub tracestate: Outgoing,
    pub decision: Decision,
}

impl Flow {
    /// Callers from the loopback network get the given trust; roots are sampled at the rate.
    pub fn new(trust: Trust, per_million: u32) -> Self {
        let network = "127.0.0.0/8".parse().expect("a network");
        let other = "10.0.0.0/8".parse().expect("a network");
        let rule = |cidr, trust| Rule {
            from: Callers {
                cidrs: vec![cidr],
                ..Callers::default()
            },
            trust,
        };
        let rate = PerMillion::new(per_million).expect("at most a million");
        Self {
            policy: Policy {
                default: Trust::Drop,
                rules: vec![rule(other, Trust::Drop), rule(network, trust)],
            },
            caller: Caller {
                address: Some([127, 0, 0, 1].into()),
                ..Caller::default()
            },
            sampler: Sampler::new(
                &Settings {
                    rate,
                    ..Settings::default()
                },
                [7; 16],
            ),
            ids: IdGenerator::new([7; 32]),
            propagation: Propagation::default(),
        }
    }

    /// Parse, judge, decide, format.
    #[inline(never)]
    pub fn request(&mut self, traceparent: &[&[u8]], tracestate: &[&[u8]]) -> Head {
        let fields = Carried(traceparent);
        let inbound = Inbound::read(&fields, self.propagation.extract()).valid();
        let inbound = inbound.map(|context| context.parent);
        let trust = self.policy.judge(&self.caller).trust;
        let kept = match (inbound, trust) {
            (None, _) | (_, Trust::Drop) => None,
            (Some(parent), trust) => Some((parent, trust == Trust::Full)),
        };
        let mut list = match kept {
            Some(_) if !tracestate.is_empty() => TraceState::parse(tracestate.iter().copied()).ok(),
            _ => None,
        };
        let (trace_id, flags, parent) = match kept {
            None => {
                let trace_id = self.ids.trace_id();
                (trace_id, Flags::RANDOM, Parent::Root { trace_id })
            }
            Some((
                TraceParent {
                    trace_id, flags, ..
                },
                true,
            )) => {
                let ot = list.as_ref().map_or_else(Default::default, TraceState::ot);
                (
                    trace_id,
                    flags,
                    Parent::Full {
                        trace_id,
                        flags,
                        ot,
                    },
                )
            }
            Some((
                TraceParent {
                    trace_id, flags, ..
                },
                false,
            )) => {
                list = list.map(TraceState::without_ot);
                (trace_id, flags, Parent::Ids { trace_id })
            }
        };
        let decision = self.sampler.decide(RuleId::NONE, parent, Nanos(0));
        let parent_id = self.ids.span_id();
        let flags = flags.with_sampled(decision.sampled);
        Head {
            traceparent: TraceParent {
                trace_id,
                parent_id,
                flags,
            }
            .format(),
            tracestate: match list {
                Some(list) => list.outgoing(decision.ot),
                None => Outgoing::fresh(decision.ot),
            },
            decision,
        }
    }
}

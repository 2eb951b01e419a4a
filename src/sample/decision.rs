//! What the sampler is asked and what it answers.

use super::rules::RuleId;
use crate::context::ids::{Flags, TraceId};
use crate::context::ot::Ot;

/// The context a request has once trust has been judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parent {
    /// None, or a dropped one: a new trace.
    Root {
        /// The id made for it.
        trace_id: TraceId,
    },
    /// Ids are kept, sampling is decided here.
    Ids {
        /// The caller's trace id.
        trace_id: TraceId,
    },
    /// Ids are kept and the sampled flag is respected.
    Full {
        /// The caller's trace id.
        trace_id: TraceId,
        /// The caller's flags.
        flags: Flags,
        /// `th` and `rv` of the caller's `tracestate`.
        ot: Ot,
    },
}

/// What was decided, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whether the request is recorded; also the flag that is handed on, except that a
    /// [dropped](Reason::Dropped) request hands on the flag it came with.
    pub sampled: bool,
    /// `th` and `rv` to hand on. Under [`Parent::Full`] equal to the inbound ones unless they
    /// stopped telling the truth.
    pub ot: Ot,
    /// Why.
    pub reason: Reason,
}

/// Why a decision is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The trusted parent's flag.
    Parent,
    /// The trusted parent was sampled, `maxTrustedTracesPerSecond` is used up.
    TrustedCap,
    /// The rate of the rule, or the general one.
    Rate(RuleId),
    /// Luck said yes, the rule's `maxTracesPerSecond` is used up.
    RuleCap(RuleId),
    /// Luck said yes, the general `maxTracesPerSecond` is used up.
    Cap,
    /// The rule says `drop`: no span, and the context goes on as trust left it.
    Dropped(RuleId),
}

impl Decision {
    /// A rule drops the request: no span, and nothing said that trust didn't leave standing.
    pub(super) fn dropped(rule: RuleId, parent: Parent) -> Self {
        let ot = match parent {
            Parent::Root { .. } | Parent::Ids { .. } => Ot::NONE,
            Parent::Full { ot, .. } => ot,
        };
        Self {
            sampled: false,
            ot,
            reason: Reason::Dropped(rule),
        }
    }
}

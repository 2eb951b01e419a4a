//! What was found and decided about one request's context, and why: the pipeline shows it to
//! whoever observes a request.

use crate::context::extract::{Context, Inbound};
use crate::context::ids::{Flags, SpanId, TraceId};
use crate::context::traceparent::TraceParent;
use crate::context::trust::Verdict;
use crate::sample::decision::{Decision, Parent};
use crate::sample::rules::RuleId;

/// The findings, in the order they were made.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// What the caller's context may do, and which rule of the listener said so.
    pub verdict: Verdict,
    /// What the request's context amounts to.
    pub inbound: Inbound,
    /// The context that is continued.
    pub trusted: Option<Context>,
    /// The sampler's part; `None` if the sampler wasn't asked: an orphan that passes.
    pub decided: Option<Decided>,
}

impl Judged {
    /// Whose child the span is, and what it restarts: at most one of them.
    pub fn origin(&self) -> (Option<SpanId>, Option<(TraceId, SpanId, Flags)>) {
        let parent = self.trusted.map(|context| context.parent.parent_id);
        let left = self.inbound.valid().filter(|_| parent.is_none());
        let left = left.map(|context| context.parent);
        let link = left.map(|old| (old.trace_id, old.parent_id, old.flags));
        (parent, link)
    }
}

/// What the sampler was asked and said, and what followed.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// The sampling rule that matches.
    pub rule: RuleId,
    /// What the sampler was told of the request's context.
    pub parent: Parent,
    /// Its decision.
    pub decision: Decision,
    /// The context that goes on, unless the listener lets none leave; `None` if none does.
    pub outgoing: Option<TraceParent>,
}

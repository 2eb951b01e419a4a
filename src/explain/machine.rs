//! The answer for machines: JSON, keys as the configuration writes them.

use serde_json::{Value, json};

use super::identity::Identity;
use super::report::{By, Outcome, Report, Sampling, why};
use super::words;
use crate::context::extract::Inbound;

impl Report {
    /// The same for machines.
    pub fn json(&self) -> Value {
        let outcomes: Vec<_> = self.outcomes.iter().map(Outcome::json).collect();
        json!({
            "listener": self.listener,
            "direction": words::direction(self.direction),
            "from": self.from,
            "certificate": self.identity.as_ref().map(Identity::json),
            "trust": {"verdict": words::trust(self.trust), "by": self.trust_by},
            "context": context_json(&self.inbound, self.continued),
            "notes": self.notes,
            "sampling": self.sampling.as_ref().map(Sampling::json),
            "stripped": self.stripped,
            "refused": self.refused.as_ref().map(|refusal| json!({
                "status": refusal.status,
                "grpcStatus": refusal.grpc_status,
                "text": refusal.text,
            })),
            "outcomes": outcomes,
        })
    }
}

impl Sampling {
    fn json(&self) -> Value {
        match &self.by {
            By::Dropped => json!({"rule": self.rule, "by": "drop"}),
            By::Parent => json!({"by": "parent"}),
            By::Rate {
                per_million,
                ratio_rule,
                luck,
                numbers,
                caps,
            } => json!({
                "rule": self.rule,
                "by": "rate",
                "samplingRatePerMillion": per_million,
                "ratioRule": words::ratio_rule(*ratio_rule),
                "dependsOn": luck.map(words::luck),
                "randomness": numbers.map(|(r, _)| words::hex56(r)),
                "threshold": numbers.and_then(|(_, t)| t).map(words::hex56),
                "caps": caps.iter().map(|(key, cap)| json!({"by": key, "perSecond": cap})).collect::<Vec<_>>(),
            }),
        }
    }
}

impl Outcome {
    fn json(&self) -> Value {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| json!([line.name, line.value]))
            .collect();
        json!({
            "probability": self.probability,
            "sampled": self.sampled,
            "upstream": {"line": self.first_line, "headers": lines},
            "replaced": self.replaced,
            "added": self.added,
            "span": self.span.as_ref().map(|(name, kind)| json!({"name": name, "kind": kind})),
        })
    }
}

fn context_json(inbound: &Inbound, continued: bool) -> Value {
    match inbound {
        Inbound::Absent => json!({"state": "absent"}),
        Inbound::Decision(sampled) => json!({"state": "decision", "sampled": sampled}),
        Inbound::Invalid(invalid) => {
            let (what, reason) = why(*invalid);
            json!({"state": "invalid", "field": what, "reason": reason})
        }
        Inbound::Valid(context) => json!({
            "state": "valid",
            "format": context.format.as_str(),
            "traceId": context.parent.trace_id.to_string(),
            "parentId": context.parent.parent_id.to_string(),
            "sampled": (!context.deferred).then(|| context.parent.flags.sampled()),
            "continued": continued,
        }),
    }
}

//! What decides beside a rate: randomness that is known, and caps.

use crate::context::ot::U56;
use crate::proxy::judged::{Decided, Judged};
use crate::sample::decision::Parent;
use crate::sample::settings::{Action, RatioRule, Settings};

/// The randomness that decides, where it is known before the request comes.
pub fn randomness(settings: &Settings, judged: &Judged, decided: &Decided) -> Option<U56> {
    if settings.ratio_rule != RatioRule::Consistent {
        return None;
    }
    match decided.parent {
        Parent::Root { trace_id } => judged.trusted.map(|_| U56::of_trace_id(trace_id)),
        Parent::Ids { .. } => decided
            .decision
            .ot
            .rv
            .filter(|_| settings.fleet_key.is_some()),
        Parent::Full { .. } => None,
    }
}

/// Caps per second that may stop what the rate keeps, with the keys that set them.
pub fn caps(settings: &Settings, decided: &Decided) -> Vec<(String, u32)> {
    let rule = decided.rule.index().and_then(|index| {
        let rule = settings.rules.get(index)?;
        let Action::Sample {
            max_traces_per_second: Some(cap),
            ..
        } = rule.action
        else {
            return None;
        };
        Some((format!("tracing.rules[{index}].maxTracesPerSecond"), cap))
    });
    let general = settings.max_traces_per_second;
    let general = general.map(|cap| ("tracing.maxTracesPerSecond".to_owned(), cap));
    rule.into_iter().chain(general).collect()
}

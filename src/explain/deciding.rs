//! By what a request is sampled or not.

use super::chance;
use super::report::{By, Sampling};
use crate::context::ot::U56;
use crate::proxy::judged::{Decided, Judged};
use crate::sample::decision::{Parent, Reason};
use crate::sample::settings::{Action, RatioRule, Settings};
use crate::sample::threshold::Threshold;

/// How the sampler comes to its decision; `None` if it isn't asked.
pub fn sampling(settings: &Settings, judged: &Judged) -> Option<Sampling> {
    let decided = judged.decided?;
    let rule = match decided.rule.index() {
        Some(index) => format!("tracing.rules[{index}]"),
        None => "tracing.samplingRatePerMillion".to_owned(),
    };
    let by = match (decided.decision.reason, decided.parent) {
        (Reason::Dropped(_), _) => By::Dropped,
        (Reason::Parent | Reason::TrustedCap, _) => By::Parent,
        (_, parent) => {
            let rate = chance::rate(settings, decided.rule)?;
            let luck = chance::luck(settings, judged);
            let threshold = Threshold::of(rate).map(Threshold::get);
            let randomness = randomness(settings, judged, &decided, parent);
            By::Rate {
                per_million: rate.get(),
                ratio_rule: settings.ratio_rule,
                luck,
                numbers: randomness.map(|randomness| (randomness, threshold)),
                caps: caps(settings, &decided),
            }
        }
    };
    Some(Sampling { rule, by })
}

/// The randomness that decides, where it is known before the request comes.
fn randomness(
    settings: &Settings,
    judged: &Judged,
    decided: &Decided,
    parent: Parent,
) -> Option<U56> {
    if settings.ratio_rule != RatioRule::Consistent {
        return None;
    }
    match parent {
        Parent::Root { trace_id } => judged.trusted.map(|_| U56::of_trace_id(trace_id)),
        Parent::Ids { .. } => decided
            .decision
            .ot
            .rv
            .filter(|_| settings.fleet_key.is_some()),
        Parent::Full { .. } => None,
    }
}

fn caps(settings: &Settings, decided: &Decided) -> Vec<(String, u32)> {
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

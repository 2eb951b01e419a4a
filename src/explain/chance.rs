//! Decisions that hang on what isn't known yet: an id that would be made, or a key that is random
//! in each process.

use super::Scene;
use crate::proxy::judged::{Decided, Judged};
use crate::proxy::rehearsal::Rehearsed;
use crate::sample::cap::Nanos;
use crate::sample::decision::Parent;
use crate::sample::generator::IdGenerator;
use crate::sample::rules::RuleId;
use crate::sample::sampler::Sampler;
use crate::sample::settings::{Action, PerMillion, RatioRule, Settings};
use crate::sample::threshold::Threshold;

/// How many ids (or keys) are tried for the rarer outcome. One in a million is found.
const TRIES: u64 = 1 << 23;

/// One way it may go.
pub struct Way {
    /// How likely it is, above 0 and at most 1.
    pub probability: f64,
    /// What happens then.
    pub rehearsed: Rehearsed,
}

/// What a decision hangs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Luck {
    /// The trace id, which is made here.
    NewId,
    /// The key of the hash, which is made when the process starts.
    NewKey,
}

/// What decides, if nothing known does. A rate of nothing or of everything leaves nothing to luck.
pub fn luck(settings: &Settings, judged: &Judged) -> Option<Luck> {
    let decided = judged.decided?;
    let rate = rate(settings, decided.rule)?.get();
    if rate == 0 || rate == PerMillion::MAX {
        return None;
    }
    match decided.parent {
        Parent::Root { .. } if judged.trusted.is_none() => Some(Luck::NewId),
        Parent::Ids { .. } if settings.fleet_key.is_none() => Some(Luck::NewKey),
        _ => None,
    }
}

/// The rate a rule gives, or the general one; `None` if the rule drops.
pub fn rate(settings: &Settings, rule: RuleId) -> Option<PerMillion> {
    match rule.index().and_then(|index| settings.rules.get(index)) {
        None => Some(settings.rate),
        Some(rule) => match rule.action {
            Action::Drop => None,
            Action::Sample { rate, .. } => Some(rate),
        },
    }
}

/// How likely a rate keeps a trace whose randomness isn't known, between 0 and 1.
pub fn probability(settings: &Settings, rate: PerMillion) -> f64 {
    match settings.ratio_rule {
        RatioRule::Consistent => Threshold::of(rate).map_or(0.0, Threshold::probability),
        RatioRule::TraceIdRatio => f64::from(rate.get()) / f64::from(PerMillion::MAX),
    }
}

/// Every way it may go: the likelier first.
pub fn ways(scene: &Scene<'_>) -> Vec<Way> {
    let (seed, key) = randomness(0);
    let first = scene.rehearse(seed, key);
    let settings = &scene.config.sampling;
    let open = first.judged.and_then(|judged| {
        let decided = judged.decided?;
        Some((
            luck(settings, &judged)?,
            decided,
            rate(settings, decided.rule)?,
        ))
    });
    let Some((luck, decided, rate)) = open else {
        return vec![Way {
            probability: 1.0,
            rehearsed: first,
        }];
    };
    let sampled = decided.decision.sampled;
    let kept = probability(settings, rate);
    let mut ways = vec![Way {
        probability: if sampled { kept } else { 1.0 - kept },
        rehearsed: first,
    }];
    if let Some(n) = other(settings, luck, &decided, rate) {
        let (seed, key) = randomness(n);
        ways.push(Way {
            probability: if sampled { 1.0 - kept } else { kept },
            rehearsed: scene.rehearse(seed, key),
        });
    }
    ways.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    ways
}

/// The number whose randomness makes the sampler decide otherwise.
fn other(settings: &Settings, luck: Luck, decided: &Decided, rate: PerMillion) -> Option<u64> {
    // The same rate without caps: those aren't luck, and asking must not use them up.
    let bare = Settings {
        rate,
        ratio_rule: settings.ratio_rule,
        ..Settings::default()
    };
    let differs = |sampler: &Sampler, parent| {
        let decision = sampler.decide(RuleId::NONE, parent, Nanos(0));
        decision.sampled != decided.decision.sampled
    };
    let one = Sampler::new(&bare, [0; 16]);
    (1..TRIES).find(|n| {
        let (seed, key) = randomness(*n);
        match luck {
            Luck::NewId => {
                let trace_id = IdGenerator::new(seed).trace_id();
                differs(&one, Parent::Root { trace_id })
            }
            Luck::NewKey => differs(&Sampler::new(&bare, key), decided.parent),
        }
    })
}

/// The seed of ids and the key that a number stands for.
fn randomness(n: u64) -> ([u8; 32], [u8; 16]) {
    let (mut seed, mut key) = ([0; 32], [0; 16]);
    seed[..8].copy_from_slice(&n.to_le_bytes());
    key[..8].copy_from_slice(&n.to_le_bytes());
    (seed, key)
}

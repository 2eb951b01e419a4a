//! The sampler in force, as the admin server and the metrics see it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::admin::{Change, Rates, RuleRate, Sampling};
use crate::proxy::listener::Plan;
use crate::sample::sampler::Sampler;
use crate::sample::settings::{Match, Settings};

/// The sampler all workers share; replaced when the configuration changes.
pub struct CurrentSampler(RwLock<Current>);

struct Current {
    sampler: Option<Arc<Sampler>>,
    matches: Vec<Match>,
}

impl CurrentSampler {
    /// The sampler of these plans.
    pub fn new(settings: &Settings, plans: &[Plan]) -> Self {
        Self(RwLock::new(Current::of(settings, plans)))
    }

    /// From now on the sampler of these plans.
    pub fn replace(&self, settings: &Settings, plans: &[Plan]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Current::of(settings, plans);
    }
}

impl Current {
    fn of(settings: &Settings, plans: &[Plan]) -> Self {
        Self {
            sampler: plans.first().map(|plan| Arc::clone(&plan.sampler)),
            matches: settings.rules.iter().map(|r| r.matches.clone()).collect(),
        }
    }
}

impl Sampling for CurrentSampler {
    fn rates(&self) -> Rates {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sampler) = &current.sampler else {
            return Rates {
                default: Default::default(),
                rules: Vec::new(),
            };
        };
        let rates = sampler.rates();
        let rules = current.matches.iter().cloned().zip(rates.rules);
        Rates {
            default: rates.default,
            rules: rules
                .map(|(matches, rate)| RuleRate { matches, rate })
                .collect(),
        }
    }

    fn set(&self, change: &Change) -> Result<(), String> {
        // Held for writing, so that a reload can't come between looking and storing.
        let current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(sampler) = &current.sampler else {
            return Err("there is no sampler".to_owned());
        };
        let rates = sampler.rates();
        for (index, _) in &change.rules {
            if !matches!(rates.rules.get(*index), Some(Some(_))) {
                return Err(format!("rule {index} has no rate: the rules have changed"));
            }
        }
        let changes = change.default.map(|rate| (None, rate)).into_iter();
        let changes = changes.chain(change.rules.iter().map(|(i, rate)| (Some(*i), *rate)));
        for (rule, rate) in changes {
            sampler.set_rate(rule, rate).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

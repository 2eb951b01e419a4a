//! The decision, once per request: parent-based, by probability, capped.
//!
//! Shared by all workers. The hot path is one relaxed load and a comparison; caps add one
//! compare-and-swap, and only to requests that would be sampled.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::cap::{Cap, Nanos};
use super::decision::{Decision, Parent, Reason};
use super::keep::Keep;
use super::rate::Rate;
use super::rules::{RequestView, RuleId};
use super::settings::{Action, Match, PerMillion, RatioRule, Settings, UnsampledRoot};
use super::share::SharedCap;
use super::threshold::Threshold;
use crate::context::ids::{Flags, TraceId};
use crate::context::ot::{Ot, U56};

/// The rates in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Where no rule matches.
    pub default: PerMillion,
    /// By rule; `None` for rules that drop.
    pub rules: Vec<Option<PerMillion>>,
}

/// There is no rule with a rate at this place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSuchRule {
    /// The place asked for.
    pub index: usize,
    /// How many rules there are.
    pub rules: usize,
}

impl std::fmt::Display for NoSuchRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, rules } = self;
        write!(
            f,
            "expected the place of a rule with a rate, got {index} of {rules} rules"
        )
    }
}

impl std::error::Error for NoSuchRule {}

/// Decides for all workers. See the module.
#[derive(Debug)]
pub struct Sampler {
    default: Bucket,
    rules: Box<[Rule]>,
    /// Shared among all buckets.
    cap: Option<SharedCap>,
    trusted_cap: Option<TrustedCap>,
    ratio_rule: RatioRule,
    unsampled_root: UnsampledRoot,
    keep: Option<Keep>,
    max_span_duration: Option<Duration>,
    hash: SipHasher24,
}

#[derive(Debug)]
struct Rule {
    matches: Match,
    /// `None`: the rule drops.
    bucket: Option<Bucket>,
}

/// A cap on what trusted callers have sampled.
#[derive(Debug)]
struct TrustedCap {
    cap: Cap,
    /// Refused since the last one that was told of it.
    refused: AtomicU32,
}

/// A rate and its own cap.
#[derive(Debug)]
struct Bucket {
    /// Whose share of the general cap.
    place: usize,
    /// A [`Rate`]. Relaxed: the word holds all of it, a reader sees the old one or the new one.
    rate: AtomicU64,
    cap: Option<Cap>,
}

impl Sampler {
    /// A sampler with the given rates. The fleet key replaces the caller's choice of trace id
    /// under [`Parent::Ids`]; pass a random one if none is configured.
    pub fn new(settings: &Settings, fleet_key: [u8; 16]) -> Self {
        let mut places = 0..;
        let mut bucket = |rate, cap: Option<u32>| Bucket {
            place: places.next().unwrap_or_default(),
            rate: AtomicU64::new(Rate::new(settings.ratio_rule, rate).bits()),
            cap: cap.map(Cap::new),
        };
        let default = bucket(settings.rate, None);
        let rule = |rule: &super::settings::Rule| Rule {
            matches: rule.matches.clone(),
            bucket: match rule.action {
                Action::Drop => None,
                Action::Sample {
                    rate,
                    max_traces_per_second,
                } => Some(bucket(rate, max_traces_per_second)),
            },
        };
        let rules = settings.rules.iter().map(rule).collect();
        let buckets = places.start;
        let cap = settings.max_traces_per_second;
        let trusted_cap = settings.max_trusted_traces_per_second;
        Self {
            default,
            rules,
            cap: cap.map(|cap| SharedCap::new(cap, buckets)),
            trusted_cap: trusted_cap.map(|cap| TrustedCap {
                cap: Cap::new(cap),
                refused: AtomicU32::new(0),
            }),
            ratio_rule: settings.ratio_rule,
            unsampled_root: settings.unsampled_root,
            keep: settings.keep.as_ref().map(Keep::new),
            max_span_duration: settings.max_span_duration,
            hash: SipHasher24::new_with_key(&fleet_key),
        }
    }

    /// The rule the request falls under. Free if there are none.
    #[inline]
    pub fn rule(&self, request: &impl RequestView) -> RuleId {
        match self
            .rules
            .iter()
            .position(|rule| rule.matches.holds(request))
        {
            Some(index) => RuleId::new(index),
            None => RuleId::NONE,
        }
    }

    /// Decides. `now` is only looked at where a cap is configured.
    #[inline]
    pub fn decide(&self, rule: RuleId, parent: Parent, now: Nanos) -> Decision {
        let bucket = match rule.index().and_then(|index| self.rules.get(index)) {
            None => &self.default,
            Some(Rule {
                bucket: Some(bucket),
                ..
            }) => bucket,
            Some(Rule { bucket: None, .. }) => return Decision::dropped(rule, parent),
        };
        match parent {
            Parent::Root { trace_id } => {
                let luck = trace_id.get() as u64;
                self.here(rule, bucket, luck, None, now)
            }
            Parent::Ids { trace_id } => {
                let luck = self.hash.hash(&trace_id.get().to_be_bytes());
                let rv = match self.ratio_rule {
                    RatioRule::Consistent => Some(U56::low(luck)),
                    RatioRule::TraceIdRatio => None,
                };
                self.here(rule, bucket, luck, rv, now)
            }
            Parent::Full {
                trace_id,
                flags,
                ot,
            } => self.continued(trace_id, flags, ot, now),
        }
    }

    /// A decision of our own on 64 bits of luck, of which the consistent rule takes the low 56.
    ///
    /// A cap makes the probability unknown, so nothing a cap might have stopped carries `th`:
    /// neither what it let pass nor what it refused.
    #[inline]
    fn here(
        &self,
        rule: RuleId,
        bucket: &Bucket,
        luck: u64,
        rv: Option<U56>,
        now: Nanos,
    ) -> Decision {
        let rate = Rate::from_bits(bucket.rate.load(Relaxed));
        let own = bucket.cap.as_ref();
        let all = self.cap.as_ref();
        let (sampled, reason) = if !rate.keeps(self.ratio_rule, luck) {
            (false, Reason::Rate(rule))
        } else if own.is_some_and(|cap| !cap.admit(now)) {
            (false, Reason::RuleCap(rule))
        } else if all.is_some_and(|cap| !cap.admit(bucket.place, now)) {
            (false, Reason::Cap)
        } else {
            (true, Reason::Rate(rule))
        };
        let capped = bucket.cap.is_some() || self.cap.is_some();
        let th = if sampled && !capped {
            rate.threshold(self.ratio_rule)
        } else {
            None
        };
        Decision {
            sampled,
            ot: Ot {
                th: th.map(Threshold::get),
                rv,
            },
            reason,
        }
    }

    /// The parent's decision. `rv` always stays; `th` stays iff flag and randomness agree on it, and
    /// no cap thins what it counts.
    #[inline]
    fn continued(&self, trace_id: TraceId, flags: Flags, ot: Ot, now: Nanos) -> Decision {
        let cap = self.trusted_cap.as_ref().filter(|_| flags.sampled());
        if let Some(TrustedCap { refused, .. }) = cap.filter(|trusted| !trusted.cap.admit(now)) {
            refused.fetch_add(1, Relaxed);
            let ot = Ot {
                th: None,
                rv: ot.rv,
            };
            return Decision {
                sampled: false,
                ot,
                reason: Reason::TrustedCap,
            };
        }
        let sampled = flags.sampled();
        let randomness = ot.rv.unwrap_or(U56::of_trace_id(trace_id));
        let th = ot
            .th
            .filter(|th| Threshold::new(*th).keeps(randomness) == sampled && cap.is_none());
        Decision {
            sampled,
            ot: Ot { th, rv: ot.rv },
            reason: Reason::Parent,
        }
    }

    /// How many sampled requests of trusted callers `maxTrustedTracesPerSecond` has stopped since
    /// this was last asked: the next one that isn't stopped stands for them, too.
    #[inline]
    pub fn take_refused(&self) -> u32 {
        let Some(TrustedCap { refused, .. }) = &self.trusted_cap else {
            return 0;
        };
        match refused.load(Relaxed) {
            0 => 0,
            _ => refused.swap(0, Relaxed),
        }
    }

    /// Changes the rate of a rule, or the general one. Takes effect with one store.
    ///
    /// # Errors
    /// If there is no such rule or it drops.
    pub fn set_rate(&self, rule: Option<usize>, rate: PerMillion) -> Result<(), NoSuchRule> {
        let bucket = match rule {
            None => &self.default,
            Some(index) => self
                .rules
                .get(index)
                .and_then(|rule| rule.bucket.as_ref())
                .ok_or(NoSuchRule {
                    index,
                    rules: self.rules.len(),
                })?,
        };
        bucket
            .rate
            .store(Rate::new(self.ratio_rule, rate).bits(), Relaxed);
        Ok(())
    }

    /// The rates in force.
    pub fn rates(&self) -> Rates {
        let read = |bucket: &Bucket| {
            Rate::from_bits(bucket.rate.load(Relaxed)).per_million(self.ratio_rule)
        };
        let rule = |rule: &Rule| rule.bucket.as_ref().map(read);
        Rates {
            default: read(&self.default),
            rules: self.rules.iter().map(rule).collect(),
        }
    }

    /// What an unsampled root hands on.
    pub fn unsampled_root(&self) -> UnsampledRoot {
        self.unsampled_root
    }

    /// Which unsampled requests are exported all the same; `None`: none.
    pub const fn keep(&self) -> Option<&Keep> {
        self.keep.as_ref()
    }

    /// How old a span may become.
    pub const fn max_span_duration(&self) -> Option<Duration> {
        self.max_span_duration
    }
}

#[cfg(test)]
mod tests;

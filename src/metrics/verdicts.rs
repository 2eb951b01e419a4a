//! Trust verdicts by what they grant and by the rule that said so.
//!
//! There is a place for every rule a policy may have, so a reload that changes the rules changes
//! no label set: a number then goes on counting for the rule that has it now.

use std::array;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::labels::Label;
use crate::context::trust::{MOST_RULES, Trust, Verdict};

const DEFAULT: usize = MOST_RULES;
const OTHER: usize = MOST_RULES + 1;
const PLACES: usize = MOST_RULES + 2;

/// Counters of one listener on one worker.
pub struct Verdicts([[AtomicU64; Trust::ALL.len()]; PLACES]);

/// Values of the labels `rule` and `trust`.
pub type Labels = (Cow<'static, str>, &'static str);

impl Verdicts {
    /// Counts one.
    pub fn add(&self, verdict: Verdict) {
        let place = match verdict.rule {
            None => DEFAULT,
            Some(rule) if rule < MOST_RULES => rule,
            Some(_) => OTHER,
        };
        let by_trust = self.0.get(place);
        if let Some(count) = by_trust.and_then(|counts| counts.get(verdict.trust.index())) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// What these counted together, by labels. Rules that decided nothing are left out.
    pub fn total<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Vec<(Labels, u64)> {
        let pairs = (0..PLACES).flat_map(|place| Trust::ALL.iter().map(move |t| (place, *t)));
        pairs
            .map(|(place, trust)| {
                let count = |v: &Self| {
                    let by_trust = v.0.get(place);
                    let count = by_trust.and_then(|counts| counts.get(trust.index()));
                    count.map_or(0, |count| count.load(Relaxed))
                };
                (place, trust, all.clone().map(count).sum::<u64>())
            })
            .filter(|(place, _, total)| *place == DEFAULT || *total > 0)
            .map(|(place, trust, total)| ((rule(place), trust.as_str()), total))
            .collect()
    }
}

fn rule(place: usize) -> Cow<'static, str> {
    match place {
        DEFAULT => "default".into(),
        OTHER => "other".into(),
        rule => rule.to_string().into(),
    }
}

impl Default for Verdicts {
    fn default() -> Self {
        Self(array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_rules_mints_more_than_the_labels_there_are() {
        let verdicts = [Verdicts::default(), Verdicts::default()];
        for rule in (0..1000).map(Some).chain([None]) {
            for trust in Trust::ALL {
                let verdict = Verdict {
                    trust: *trust,
                    rule,
                };
                verdicts[rule.unwrap_or(1) % 2].add(verdict);
            }
        }
        let total = Verdicts::total(verdicts.iter());
        assert_eq!(total.len(), PLACES * 3);
        let of = |rule: &str| {
            let (_, count) = total.iter().find(|((r, t), _)| r == rule && *t == "ids")?;
            Some(*count)
        };
        for (rule, expected, why) in [
            ("0", Some(1), "the first rule"),
            ("63", Some(1), "the last one"),
            ("64", None, "none has that number"),
            ("default", Some(1), "no rule"),
            (
                "other",
                Some(1000 - MOST_RULES as u64),
                "numbers nobody has",
            ),
        ] {
            assert_eq!(of(rule), expected, "{rule}: {why}");
        }
    }

    #[test]
    fn rules_that_decided_nothing_are_left_out_and_the_default_is_not() {
        let verdicts = Verdicts::default();
        verdicts.add(Verdict {
            trust: Trust::Full,
            rule: Some(7),
        });
        let total = Verdicts::total(std::iter::once(&verdicts));
        let shown: Vec<_> = total.iter().map(|((r, t), n)| (&**r, *t, *n)).collect();
        let expected = [
            ("7", "full", 1),
            ("default", "drop", 0),
            ("default", "ids", 0),
            ("default", "full", 0),
        ];
        assert_eq!(shown, expected);
    }
}

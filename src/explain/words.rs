//! The answer in words.

use std::fmt::{self, Display, Formatter};

use super::chance::Luck;
use super::report::{By, Outcome, Report, Sampling, why};
use crate::context::extract::Inbound;
use crate::context::ot::U56;
use crate::context::trust::Trust;
use crate::sample::decision::Reason;
use crate::sample::settings::RatioRule;
use crate::span::record::Direction;

pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

pub(super) const fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Drop => "drop",
        Trust::Ids => "ids",
        Trust::Full => "full",
    }
}

pub(super) const fn ratio_rule(rule: RatioRule) -> &'static str {
    match rule {
        RatioRule::Consistent => "consistent",
        RatioRule::TraceIdRatio => "traceidratio",
    }
}

pub(super) const fn luck(luck: Luck) -> &'static str {
    match luck {
        Luck::NewId => "the trace id, which is made here",
        Luck::NewKey => "a key that each process makes: tracing.fleetKey isn't given",
    }
}

/// 14 hexadecimal digits, as `rv` has them.
pub(super) fn hex56(value: U56) -> String {
    format!("{:014x}", value.get())
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let way = direction(self.direction);
        writeln!(f, "listener  {} ({way})", self.listener)?;
        match self.from {
            Some(address) => writeln!(f, "caller    {address}")?,
            None => writeln!(f, "caller    a process on a unix socket")?,
        }
        if let Some(identity) = &self.identity {
            writeln!(f, "          its certificate: {identity}")?;
        }
        self.trust(f)?;
        self.context(f)?;
        for note in &self.notes {
            writeln!(f, "          {note}")?;
        }
        match &self.sampling {
            Some(sampling) => writeln!(f, "sampling  {sampling}")?,
            None => writeln!(f, "sampling  not asked: an orphan passes (orphans: pass)")?,
        }
        if let Some(refusal) = &self.refused {
            let (status, text) = (refusal.status, refusal.text);
            write!(f, "refused   ")?;
            match refusal.grpc_status {
                Some(code) => writeln!(f, "with grpc-status {code}: {text}")?,
                None => writeln!(f, "with status {status}: {text}")?,
            }
            writeln!(f, "          nothing reaches the upstream")?;
        } else {
            writeln!(f, "stripped  {}", list(&self.stripped))?;
        }
        for outcome in &self.outcomes {
            writeln!(f)?;
            self.outcome(outcome, f)?;
        }
        Ok(())
    }
}

impl Report {
    fn trust(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let means = match self.trust {
            Trust::Drop => "no context of this caller's counts",
            Trust::Ids => "its ids are kept, sampling is decided here",
            Trust::Full => "its ids are kept and its sampled flag is respected",
        };
        let by = &self.trust_by;
        writeln!(f, "trust     {} by {by}: {means}", trust(self.trust))
    }

    fn context(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "context   ")?;
        match &self.inbound {
            Inbound::Absent => writeln!(f, "none that is read here"),
            Inbound::Decision(sampled) => {
                let not = if *sampled { "" } else { "not " };
                let follows = match self.trust {
                    Trust::Full => "it is respected",
                    _ => "it doesn't count",
                };
                writeln!(f, "no ids, but a decision: {not}sampled; {follows}")
            }
            Inbound::Invalid(invalid) => {
                let (what, reason) = why(*invalid);
                writeln!(f, "invalid {what}: {reason}; the trace restarts")
            }
            Inbound::Valid(context) => {
                let parent = context.parent;
                let flag = match (context.deferred, parent.flags.sampled()) {
                    (true, _) => "without a decision",
                    (false, true) => "sampled",
                    (false, false) => "not sampled",
                };
                writeln!(
                    f,
                    "{}: trace {}, parent {}, {flag}",
                    context.format.as_str(),
                    parent.trace_id,
                    parent.parent_id
                )?;
                if self.continued {
                    writeln!(f, "          continued")
                } else {
                    writeln!(
                        f,
                        "          dropped: a new trace starts, its span links to this one"
                    )
                }
            }
        }
    }

    fn outcome(&self, outcome: &Outcome, f: &mut Formatter<'_>) -> fmt::Result {
        if self.sampling.is_some() {
            let sampled = if outcome.sampled {
                "sampled"
            } else {
                "not sampled"
            };
            let percent = Percent(outcome.probability);
            if outcome.probability < 1.0 {
                write!(f, "{sampled}, with a probability of {percent}")?;
            } else {
                write!(f, "{sampled}")?;
            }
            writeln!(f, "{}", reason(outcome.reason))?;
        }
        match &outcome.span {
            Some((name, kind)) => writeln!(f, "  span {kind} {name:?}")?,
            None => writeln!(f, "  no span")?,
        }
        if self.refused.is_some() {
            return Ok(());
        }
        writeln!(f, "  replaced: {}", list(&outcome.replaced))?;
        writeln!(f, "  added: {}", list(&outcome.added))?;
        writeln!(f, "  what the upstream gets:")?;
        writeln!(f, "    {}", outcome.first_line)?;
        for line in &outcome.lines {
            writeln!(f, "    {}: {}", line.name, line.value)?;
        }
        Ok(())
    }
}

impl Display for Sampling {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.by {
            By::Dropped => write!(f, "{} drops the request: no span", self.rule),
            By::Parent => f.write_str("the parent's flag decides"),
            By::Rate {
                per_million,
                ratio_rule: rule,
                luck: open,
                numbers,
                caps,
            } => {
                let rule = ratio_rule(*rule);
                write!(f, "{}: {per_million} per million, {rule}", self.rule)?;
                if let Some((randomness, threshold)) = numbers {
                    let randomness = hex56(*randomness);
                    match threshold {
                        Some(threshold) => {
                            let threshold = hex56(*threshold);
                            write!(f, "; randomness {randomness}, kept from {threshold} on")?;
                        }
                        None => write!(f, "; randomness {randomness}, nothing is kept")?,
                    }
                }
                if let Some(open) = open {
                    write!(f, "; it depends on {}", luck(*open))?;
                }
                for (key, cap) in caps {
                    write!(f, "; at most {cap} a second by {key}")?;
                }
                Ok(())
            }
        }
    }
}

fn reason(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::Parent) => ", as the parent says",
        Some(Reason::Dropped(_)) => ", because a rule drops it",
        Some(Reason::TrustedCap | Reason::RuleCap(_) | Reason::Cap) => ", because a cap is used up",
        Some(Reason::Rate(_)) | None => "",
    }
}

/// A share of one, with as many digits as it takes.
struct Percent(f64);

impl Display for Percent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = format!("{:.6}", self.0 * 100.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text} %")
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

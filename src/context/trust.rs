//! Trust: what an inbound context may do, judged by who brings it.

use std::net::IpAddr;

use super::callers::{Caller, Callers};

/// The most rules a policy has; each of them is counted under a number of its own.
pub const MOST_RULES: usize = 64;

/// What an inbound context may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Trust {
    /// Nothing: the trace is restarted, a link keeps the old one reachable.
    Drop,
    /// Trace id and parent are kept, sampling is decided here.
    Ids,
    /// Ids are kept and the parent's sampled flag is respected.
    Full,
}

/// Who is trusted how: the first rule that matches, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For callers no rule matches.
    pub default: Trust,
    /// First match wins.
    pub rules: Vec<Rule>,
}

/// Callers and the trust they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub from: Callers,
    /// What such callers get.
    pub trust: Trust,
}

/// What a caller got, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What its context may do.
    pub trust: Trust,
    /// Position of the rule that said so; `None`: the default did.
    pub rule: Option<usize>,
}

impl Policy {
    /// The trust this caller gets.
    ///
    /// An IPv4-mapped IPv6 address is judged as the IPv4 address it stands for.
    pub fn judge(&self, caller: &Caller<'_>) -> Verdict {
        let unmapped;
        let caller = match caller.address {
            Some(address @ IpAddr::V6(_)) => {
                unmapped = Caller {
                    address: Some(address.to_canonical()),
                    ..*caller
                };
                &unmapped
            }
            _ => caller,
        };
        for (at, rule) in self.rules.iter().enumerate() {
            if rule.from.pick(caller) {
                return Verdict {
                    trust: rule.trust,
                    rule: Some(at),
                };
            }
        }
        Verdict {
            trust: self.default,
            rule: None,
        }
    }

    /// Whether any rule looks at certificates: if not, none needs to be verified.
    pub fn looks_at_certificates(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.from.client_cert.is_some())
    }
}

#[cfg(test)]
mod tests;

//! Trust: what an inbound context may do, judged by who brings it.

use std::net::IpAddr;

use ipnet::IpNet;

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
    /// Networks of the TCP peer, or of the address a listed PROXY peer announced.
    pub cidrs: Vec<IpNet>,
    /// What such callers get.
    pub trust: Trust,
}

/// What is known of a caller when it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The TCP peer or the announced address; absent on unix sockets.
    pub address: Option<IpAddr>,
}

impl Policy {
    /// The trust this caller gets.
    ///
    /// An IPv4-mapped IPv6 address is judged as the IPv4 address it stands for.
    pub fn judge(&self, caller: &Caller) -> Trust {
        let address = caller.address.map(|a| a.to_canonical());
        self.rules
            .iter()
            .find(|rule| address.is_some_and(|a| rule.cidrs.iter().any(|net| net.contains(&a))))
            .map_or(self.default, |rule| rule.trust)
    }
}

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
            .find(|rule| address.is_some_and(|a| rule.cidrs.iter().any(|net| contains(net, a))))
            .map_or(self.default, |rule| rule.trust)
    }
}

/// Whether the address is in the network: no bit differs within the prefix.
fn contains(net: &IpNet, address: IpAddr) -> bool {
    match (net, address) {
        (IpNet::V4(net), IpAddr::V4(address)) => {
            let differs = u32::from(net.addr()) ^ u32::from(address);
            differs
                .checked_shr(32 - u32::from(net.prefix_len()))
                .unwrap_or(0)
                == 0
        }
        (IpNet::V6(net), IpAddr::V6(address)) => {
            let differs = u128::from(net.addr()) ^ u128::from(address);
            differs
                .checked_shr(128 - u32::from(net.prefix_len()))
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(cidrs: &[&str], trust: Trust) -> Rule {
        Rule {
            cidrs: cidrs.iter().map(|net| net.parse().unwrap()).collect(),
            trust,
        }
    }

    fn judge(policy: &Policy, address: &str) -> Trust {
        policy.judge(&Caller {
            address: Some(address.parse().unwrap()),
        })
    }

    fn policy() -> Policy {
        Policy {
            default: Trust::Drop,
            rules: vec![
                rule(&["10.1.0.0/16", "fd00::/8"], Trust::Full),
                rule(&["10.0.0.0/8"], Trust::Ids),
                rule(&["10.1.2.3/32"], Trust::Drop),
            ],
        }
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        for (address, expected) in [
            ("10.1.2.3", Trust::Full),
            ("10.1.255.255", Trust::Full),
            ("10.2.0.0", Trust::Ids),
            ("fd00::1", Trust::Full),
            ("11.0.0.1", Trust::Drop),
            ("fe80::1", Trust::Drop),
        ] {
            assert_eq!(judge(&policy(), address), expected, "{address}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_judged_as_the_ipv4_address() {
        assert_eq!(judge(&policy(), "::ffff:10.1.0.1"), Trust::Full);
        assert_eq!(judge(&policy(), "::ffff:11.0.0.1"), Trust::Drop);
    }

    #[test]
    fn a_caller_without_address_gets_the_default_whatever_the_rules() {
        let everyone = rule(&["0.0.0.0/0", "::/0"], Trust::Full);
        for default in [Trust::Drop, Trust::Ids, Trust::Full] {
            let policy = Policy {
                default,
                rules: vec![everyone.clone()],
            };
            assert_eq!(policy.judge(&Caller { address: None }), default);
        }
    }

    #[test]
    fn a_rule_without_networks_matches_nobody() {
        let policy = Policy {
            default: Trust::Drop,
            rules: vec![rule(&[], Trust::Full)],
        };
        assert_eq!(judge(&policy, "127.0.0.1"), Trust::Drop);
    }

    proptest! {
        #[test]
        fn networks_contain_what_ipnet_says(
            net: std::net::IpAddr, address: std::net::IpAddr, near in 0..=128_u32, length in 0..=128_u8,
        ) {
            let length = if net.is_ipv4() { length % 33 } else { length };
            let net = IpNet::new(net, length).unwrap();
            // An address that differs from the network's in the bits from `near` on.
            let close = match (net.addr(), address) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    let mask = u32::MAX.checked_shr(near).unwrap_or(0);
                    IpAddr::from((u32::from(a) ^ (u32::from(b) & mask)).to_be_bytes())
                }
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    let mask = u128::MAX.checked_shr(near).unwrap_or(0);
                    IpAddr::from((u128::from(a) ^ (u128::from(b) & mask)).to_be_bytes())
                }
                _ => address,
            };
            prop_assert_eq!(contains(&net, close), net.contains(&close));
        }
    }
}

use proptest::prelude::*;

use super::super::certificate::Subject;
use super::*;

fn boxed(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

/// A holder with these names; an empty common name stands for none.
fn names(common_name: &str, groups: &[&str], dns: &[&str], uris: &[&str]) -> Names {
    Names {
        subject: (!common_name.is_empty()).then(|| Subject {
            common_name: common_name.into(),
            groups: boxed(groups).into(),
            uid: None,
        }),
        dns: boxed(dns).into(),
        uris: boxed(uris).into(),
    }
}

/// Picks by common names, groups, DNS names and URIs.
fn wanted(lists: [&[&str]; 4]) -> Callers {
    let [common_names, groups, dns_sans, uri_sans] = lists.map(boxed);
    Callers {
        client_cert: Some(ClientCert {
            common_names,
            groups,
            dns_sans,
            uri_sans,
        }),
        ..Callers::default()
    }
}

#[test]
fn certificates_are_picked_by_their_names() {
    const UNNAMED: [&[&str]; 4] = [&[], &[], &[], &[]];
    let admin = names("admin", &["system:masters", "ops"], &[], &[]);
    let node = names(
        "system:node:n1",
        &["system:nodes"],
        &["n1.prod.example"],
        &[],
    );
    let gateway = names("", &["ignored"], &[], &["spiffe://prod/ns/edge/sa/gateway"]);
    let nested = names("", &[], &[], &["spiffe://prod/ns/a/b/sa/gateway"]);
    let wild = names("w", &[], &["*.prod.example"], &[]);
    let two = names(
        "two",
        &[],
        &["x.example"],
        &["spiffe://a/b", "spiffe://prod/ns/x/sa/gateway"],
    );
    let queried = names("", &[], &[], &["spiffe://prod/ns/x?/sa/gateway"]);
    let renamed = names("", &[], &[], &["https://evil.example#.prod.example/gw"]);
    const WEB: [&[&str]; 4] = [&[], &[], &[], &["https://*.prod.example/gw"]];
    const GATEWAYS: [&[&str]; 4] = [&[], &[], &[], &["spiffe://prod/ns/*/sa/gateway"]];
    for (lists, names, expected, why) in [
        ([&["admin"][..], &[], &[], &[]], &admin, true, "the user"),
        (
            [&["Admin"], &[], &[], &[]],
            &admin,
            false,
            "case counts in users",
        ),
        ([&["adm"], &[], &[], &[]], &admin, false, "the whole name"),
        (
            [&["nobody", "admin"], &[], &[], &[]],
            &admin,
            true,
            "any of a list",
        ),
        (
            [&["system:node:*"], &[], &[], &[]],
            &node,
            true,
            "a star in a user",
        ),
        (
            [&["*"], &[], &[], &[]],
            &gateway,
            false,
            "no user, no name a star stands for",
        ),
        ([&[], &["ops"], &[], &[]], &admin, true, "any of the groups"),
        (
            [&[], &["system:*"], &[], &[]],
            &admin,
            true,
            "a star in a group",
        ),
        (
            [&[], &["system:master"], &[], &[]],
            &admin,
            false,
            "the whole group",
        ),
        (
            [&[], &["ignored"], &[], &[]],
            &gateway,
            false,
            "groups need a user",
        ),
        (
            [&["admin"], &["ops"], &[], &[]],
            &admin,
            true,
            "user and group",
        ),
        (
            [&["admin"], &["system:nodes"], &[], &[]],
            &admin,
            false,
            "the user alone",
        ),
        (
            [&["nobody"], &["ops"], &[], &[]],
            &admin,
            false,
            "the group alone",
        ),
        ([&["admin"], &[], &["*"], &[]], &admin, false, "no DNS name"),
        (
            [&[], &[], &["n1.prod.example"], &[]],
            &node,
            true,
            "a DNS name",
        ),
        (
            [&[], &[], &["N1.PROD.example"], &[]],
            &node,
            true,
            "without case",
        ),
        (
            [&[], &[], &["*.prod.example"], &[]],
            &node,
            true,
            "one label",
        ),
        (
            [&[], &[], &["*.example"], &[]],
            &node,
            false,
            "not two labels",
        ),
        (
            [&[], &[], &["*.n1.prod.example"], &[]],
            &node,
            false,
            "nor none",
        ),
        (
            [&[], &[], &["a.prod.example"], &[]],
            &wild,
            false,
            "a certificate's star stands for nothing",
        ),
        (
            [&[], &[], &["*.prod.example"], &[]],
            &wild,
            true,
            "it is a label like any other",
        ),
        (
            [&[], &["system:nodes"], &["*.prod.example"], &[]],
            &node,
            true,
            "group and DNS name",
        ),
        (GATEWAYS, &gateway, true, "a URI, without any user"),
        (GATEWAYS, &nested, false, "a star is one part of a path"),
        (GATEWAYS, &two, true, "any of the URIs"),
        (
            GATEWAYS,
            &queried,
            false,
            "what stands in a query is no path",
        ),
        (WEB, &renamed, false, "what stands in a fragment is no host"),
        (GATEWAYS, &admin, false, "no URI"),
        (
            [&[], &[], &["spiffe://prod/ns/edge/sa/gateway"], &[]],
            &gateway,
            false,
            "a URI is no DNS name",
        ),
        (UNNAMED, &admin, false, "no list picks nobody"),
    ] {
        let caller = Caller {
            certificate: Some(names),
            ..Caller::default()
        };
        assert_eq!(wanted(lists).pick(&caller), expected, "{lists:?}: {why}");
        let unverified = Caller::default();
        assert!(!wanted(lists).pick(&unverified), "{why}: unless verified");
    }
}

#[test]
fn processes_are_picked_by_user_and_group() {
    let peer = UnixPeer {
        uid: 1000,
        gid: 100,
    };
    for (uids, gids, expected, why) in [
        (&[1000][..], &[][..], true, "the user"),
        (&[0, 1000], &[], true, "any of a list"),
        (&[0], &[], false, "another user"),
        (&[], &[100], true, "the group"),
        (&[], &[1000], false, "a user's number is no group's"),
        (&[1000], &[100], true, "both"),
        (&[1000], &[0], false, "the user alone"),
        (&[0], &[100], false, "the group alone"),
        (&[], &[], false, "no list picks nobody"),
    ] {
        let from = Callers {
            unix_peer: Some(UnixPeers {
                uids: uids.to_vec(),
                gids: gids.to_vec(),
            }),
            ..Callers::default()
        };
        let caller = Caller {
            unix: Some(peer),
            ..Caller::default()
        };
        assert_eq!(from.pick(&caller), expected, "{why}");
        assert!(!from.pick(&Caller::default()), "{why}: unless known");
    }
}

#[test]
fn every_kind_of_condition_has_to_hold() {
    let admin = names("admin", &[], &[], &[]);
    let here = Some("10.0.0.1".parse().unwrap());
    let elsewhere = Some("11.0.0.1".parse().unwrap());
    let from = Callers {
        cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        ..wanted([&["admin"], &[], &[], &[]])
    };
    for (address, certificate, expected, why) in [
        (here, Some(&admin), true, "both"),
        (elsewhere, Some(&admin), false, "the certificate alone"),
        (here, None, false, "the network alone"),
        (None, Some(&admin), false, "no address"),
    ] {
        let caller = Caller {
            address,
            certificate,
            unix: None,
        };
        assert_eq!(from.pick(&caller), expected, "{why}");
    }
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

//! `admin` and `health`, and that no address is taken twice.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::settings::{Admin, Bind, Health};
use crate::config::address;
use crate::config::fault::{At, Report};
use crate::config::files;
use crate::config::reader::Field;
use crate::listen;

use super::Sources;

/// An address somebody wants, and where that was said.
pub(super) struct Bound<'a> {
    address: Address,
    at: At,
    path: String,
    report: &'a Report,
}

#[derive(Clone, PartialEq, Eq)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Fd(String),
}

pub(super) fn admin<'a>(field: &Field<'a>, out: &mut Sources) -> Option<(Admin, Bound<'a>)> {
    let map = field.map()?;
    let bind_field = map.get("bind").required();
    let bind = bind_field.read(address::admin_bind);
    let token_file = files::token(&map.get("tokenFile"));
    out.allow_remote = map.get("allowRemote").boolean().unwrap_or(false);
    if let Some(Bind::Tcp(address)) = &bind
        && !address.ip().to_canonical().is_loopback()
        && !out.allow_remote
    {
        bind_field.fault(format!(
            "expected a loopback address or a unix socket, or admin.allowRemote: true \
             (TLS is not supported yet here); got \"{address}\""
        ));
    }
    let bind = bind?;
    let address = match &bind {
        Bind::Tcp(address) => Address::Tcp(*address),
        Bind::Unix { path, .. } => Address::Unix(path.clone()),
    };
    let bound = Bound::new(address, &bind_field);
    Some((Admin { bind, token_file }, bound))
}

pub(super) fn health<'a>(field: &Field<'a>) -> Option<(Health, Bound<'a>)> {
    let map = field.map()?;
    let bind_field = map.get("bind").required();
    let bind = bind_field.read(address::socket_address)?;
    let bound = Bound::new(Address::Tcp(bind), &bind_field);
    Some((Health { bind }, bound))
}

impl<'a> Bound<'a> {
    fn new(address: Address, field: &Field<'a>) -> Self {
        Self {
            address,
            at: field.at().clone(),
            path: field.path().to_owned(),
            report: field.report(),
        }
    }

    /// A listener's address.
    pub fn listener(bind: &listen::settings::Bind, field: &Field<'a>) -> Self {
        use listen::settings::Bind;
        let address = match bind {
            Bind::Tcp(address) => Address::Tcp(*address),
            Bind::Unix { path, .. } => Address::Unix(path.clone()),
            Bind::Fd(name) => Address::Fd(name.clone()),
        };
        Self::new(address, field)
    }
}

/// Every address once: a second use is a fault that names the first.
pub(super) fn check_binds(
    listeners: &[Bound<'_>],
    admin: &Option<(Admin, Bound<'_>)>,
    health: &Option<(Health, Bound<'_>)>,
) {
    let all: Vec<&Bound<'_>> = listeners
        .iter()
        .chain(admin.iter().map(|(_, bound)| bound))
        .chain(health.iter().map(|(_, bound)| bound))
        .collect();
    for (index, bound) in all.iter().enumerate() {
        let earlier = all.iter().take(index);
        if let Some(first) = earlier
            .into_iter()
            .find(|b| b.address.meets(&bound.address))
        {
            let message = format!("is taken by {} already ({})", first.path, first.at);
            bound.report.fault(&bound.at, &bound.path, message);
        }
    }
}

impl Address {
    /// Whether both can't be bound at once. Port 0 is a new one every time.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                let (ip, other_ip) = (a.ip(), b.ip());
                let same_family = ip.is_ipv4() == other_ip.is_ipv4();
                let any = ip.is_unspecified() || other_ip.is_unspecified();
                a.port() != 0 && a.port() == b.port() && (ip == other_ip || (any && same_family))
            }
            _ => self == other,
        }
    }
}

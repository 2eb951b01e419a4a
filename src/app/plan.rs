//! From the configuration to what each part is made of.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::rand::GetRandomFlags;

use super::StartError;
use crate::access_log::Mode;
use crate::admin::settings as admin;
use crate::config::{Config, Listener};
use crate::listen::client_auth::Authorities;
use crate::listen::settings::{Bind, Owner};
use crate::listen::tls;
use crate::proxy::listener::Plan;
use crate::proxy::upstream::connect::UpstreamTls;
use crate::sample::sampler::Sampler;
use crate::span::record::Direction;

/// Randomness that lasts as long as the process.
pub struct Secrets {
    fleet_key: [u8; 16],
    /// Of the hash of values callers choose.
    pub correlation_key: [u8; 16],
}

impl Secrets {
    /// From the system.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn random() -> Result<Self, StartError> {
        Ok(Self {
            fleet_key: random()?,
            correlation_key: random()?,
        })
    }

    /// A seed for one worker's ids.
    ///
    /// # Errors
    /// As [`Secrets::random`].
    pub fn seed(&self) -> Result<[u8; 32], StartError> {
        random()
    }
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    // Up to 256 bytes come whole (getrandom(2)).
    rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| StartError::Random(io::Error::from(error)))?;
    Ok(bytes)
}

/// One plan per listener; certificates and keys are read here.
///
/// # Errors
/// Which listener's files can't be used, and why.
pub fn plans(config: &Config, secrets: &Secrets) -> Result<Vec<Plan>, StartError> {
    let key = config.sampling.fleet_key.unwrap_or(secrets.fleet_key);
    let sampler = Arc::new(Sampler::new(&config.sampling, key));
    let plan = |listener| plan(listener, &sampler, config.access_log);
    config.listeners.iter().map(plan).collect()
}

fn plan(listener: &Listener, sampler: &Arc<Sampler>, access_log: Mode) -> Result<Plan, StartError> {
    let fault = |error| StartError::Tls {
        listener: listener.listen.name.to_string(),
        error,
    };
    let (tls, clients) = match &listener.listen.tls {
        Some(settings) => {
            let clients = Authorities::load(&settings.client_auth).map_err(fault)?;
            let protocol = listener.listen.protocol;
            let tls = tls::server_config(settings, protocol, clients.as_ref()).map_err(fault)?;
            (Some(tls), clients)
        }
        None => (None, None),
    };
    let ways = listener.proxy.ways();
    let upstream_tls = ways.iter().map(UpstreamTls::load).collect::<Result<_, _>>();
    Ok(Plan {
        listen: listener.listen.clone(),
        proxy: listener.proxy.clone(),
        tls,
        clients,
        upstream_tls: upstream_tls.map_err(fault)?,
        sampler: Arc::clone(sampler),
        access_log,
    })
}

/// Listeners as metrics name them.
pub fn names(config: &Config) -> Vec<(Arc<str>, Direction)> {
    let name = |l: &Listener| (Arc::clone(&l.listen.name), l.proxy.direction);
    config.listeners.iter().map(name).collect()
}

/// gRPC methods known by configuration, over all listeners.
pub fn known_methods(config: &Config) -> impl Iterator<Item = &String> {
    config
        .listeners
        .iter()
        .flat_map(|l| l.proxy.known_rpc_methods.iter())
}

/// The admin server's address as sockets are bound.
pub fn admin_bind(bind: &admin::Bind) -> Bind {
    match bind {
        admin::Bind::Tcp(address) => tcp_bind(*address),
        admin::Bind::Unix { path, mode } => Bind::Unix {
            path: path.clone(),
            mode: *mode,
            owner: Owner::default(),
        },
    }
}

/// A TCP address as sockets are bound.
pub const fn tcp_bind(address: SocketAddr) -> Bind {
    Bind::Tcp(address)
}

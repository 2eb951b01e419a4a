//! `tracegate explain`: what would happen to a request, and why.
//!
//! Nothing is judged here. The request is rehearsed by the pipeline that serves requests
//! ([`Rehearsal`]), and what that found, decided and left on the request is put into words. Where
//! the decision hangs on an id that isn't made yet, both ways are rehearsed.

mod chance;
mod compare;
mod identity;
mod machine;
mod masked;
mod notes;
mod question;
mod rates;
mod report;
mod secrets;
mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use rustls::pki_types::CertificateDer;

use crate::config::{Config, Listener};
use crate::context::callers::UnixPeer;
use crate::listen::client_auth::Authorities;
use crate::listen::pem::{TlsError, certificates};
use crate::listen::settings::{Bind, Protocol};
use crate::proxy::caller::Caller;
use crate::proxy::listener::Plan;
use crate::proxy::rehearsal::{Rehearsal, Rehearsed};
use crate::sample::sampler::Sampler;

pub use self::report::Report;

/// A request, and whose it would be.
#[derive(Clone, Debug)]
pub struct Question {
    /// Name of the listener; may be absent where there is one alone.
    pub listener: Option<String>,
    /// Method.
    pub method: Method,
    /// Target.
    pub target: Uri,
    /// Fields, in order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the caller speaks HTTP/2 where the listener leaves the choice.
    pub http2: bool,
    /// What is known of the caller.
    pub from: From,
}

/// What is assumed of the caller. Whatever trust may depend on has its place here.
#[derive(Clone, Debug, Default)]
pub struct From {
    /// Its address; loopback if absent, and none on a unix socket.
    pub address: Option<IpAddr>,
    /// Its process, on a unix socket.
    pub process: Option<UnixPeer>,
    /// The chain it presents, its own certificate first.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum Refused {
    /// No listener of that name, or none was named and there are several.
    Listener {
        /// The name asked for.
        asked: Option<String>,
        /// Those there are.
        names: Vec<String>,
    },
    /// The listener doesn't speak what the caller would.
    Protocol {
        /// Its name.
        listener: String,
    },
    /// A process was named where callers have addresses.
    Process {
        /// The listener's name.
        listener: String,
        /// Where it listens.
        bind: String,
    },
    /// An address was named where callers are processes.
    Address {
        /// The listener's name.
        listener: String,
        /// Where it listens.
        bind: String,
    },
    /// No such request has such a target.
    Target {
        /// What was given.
        given: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A file of certificates can't be used.
    Tls(TlsError),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listener { asked: None, names } => write!(
                f,
                "there are several listeners; name one with --listener: {}",
                names.join(", ")
            ),
            Self::Listener {
                asked: Some(asked),
                names,
            } => write!(
                f,
                "there is no listener {asked:?}; there are: {}",
                names.join(", ")
            ),
            Self::Protocol { listener } => write!(
                f,
                "listener {listener:?} speaks HTTP/1.1 alone (protocol: http1): expected no --http2"
            ),
            Self::Process { listener, bind } => write!(
                f,
                "listener {listener:?} is bound to {bind}, where callers have addresses: \
                 expected --from, got --as-uid and --as-gid"
            ),
            Self::Address { listener, bind } => write!(
                f,
                "listener {listener:?} is bound to {bind}, where callers are processes: \
                 expected --as-uid and --as-gid, got --from"
            ),
            Self::Target { given, expected } => {
                write!(f, "--path: expected {expected}, got {given:?}")
            }
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

/// The certificates of a PEM file, in its order.
///
/// # Errors
/// When it can't be read or holds none.
pub fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Refused> {
    certificates(file, "a PEM certificate chain, leaf first").map_err(Refused::Tls)
}

/// Answers from a configuration.
///
/// # Errors
/// When the question doesn't fit it.
pub fn explain(config: &Config, question: &Question) -> Result<Report, Refused> {
    let scene = Scene::new(config, question)?;
    Ok(Report::of(&scene))
}

/// A question and what it is about.
struct Scene<'a> {
    config: &'a Config,
    question: &'a Question,
    /// The listener's place, and the listener.
    at: usize,
    listener: &'a Listener,
    clients: Option<Arc<Authorities>>,
    http2: bool,
    address: Option<IpAddr>,
    head: Parts,
}

impl<'a> Scene<'a> {
    fn new(config: &'a Config, question: &'a Question) -> Result<Self, Refused> {
        let (at, listener) = choose(config, question)?;
        let protocol = listener.listen.protocol;
        question::fits(question, listener)?;
        let http2 = question.http2 || protocol == Protocol::Http2;
        let clients = match &listener.listen.tls {
            Some(tls) => Authorities::load(&tls.client_auth).map_err(Refused::Tls)?,
            None => None,
        };
        let unix = matches!(listener.listen.bind, Bind::Unix { .. });
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let from = &question.from;
        let assumed = (!unix && from.process.is_none()).then_some(loopback);
        Ok(Self {
            config,
            question,
            at,
            listener,
            clients,
            http2,
            address: from.address.or(assumed),
            head: head(question, http2),
        })
    }

    fn caller(&self) -> Caller {
        let from = &self.question.from;
        Caller::known(self.address, from.process, from.certificates.clone())
    }

    /// The request's way with these ids, and this key where none is configured.
    fn rehearse(&self, seed: [u8; 32], key: [u8; 16]) -> Rehearsed {
        let sampling = &self.config.sampling;
        let key = sampling.fleet_key.unwrap_or(key);
        let Listener { listen, proxy, .. } = self.listener;
        let mut plan = Plan::unconnected(listen, proxy, Sampler::new(sampling, key));
        plan.clients.clone_from(&self.clients);
        let caller = self.caller();
        let records = !self.config.export.sinks.is_empty();
        let rehearsal = Rehearsal::new(&plan, caller, self.http2, seed, records);
        rehearsal.request(self.head.clone())
    }
}

fn choose<'a>(config: &'a Config, question: &Question) -> Result<(usize, &'a Listener), Refused> {
    let mut listeners = config.listeners.iter().enumerate();
    let found = match &question.listener {
        Some(name) => listeners.find(|(_, l)| *l.listen.name == **name),
        None if config.listeners.len() == 1 => listeners.next(),
        None => None,
    };
    let names = || {
        let names = config.listeners.iter().map(|l| l.listen.name.to_string());
        names.collect()
    };
    found.ok_or_else(|| Refused::Listener {
        asked: question.listener.clone(),
        names: names(),
    })
}

/// The head as an engine would hand it to the pipeline.
fn head(question: &Question, http2: bool) -> Parts {
    let mut head = Request::new(()).into_parts().0;
    head.method = question.method.clone();
    head.uri = question.target.clone();
    head.version = if http2 {
        Version::HTTP_2
    } else {
        Version::HTTP_11
    };
    for (name, value) in &question.headers {
        head.headers.append(name.clone(), value.clone());
    }
    // Every client names a host.
    if head.uri.authority().is_none() && !head.headers.contains_key(HOST) {
        let host = HeaderValue::from_static("localhost");
        head.headers.insert(HOST, host);
    }
    head
}

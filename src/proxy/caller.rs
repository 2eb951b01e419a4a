//! Who calls on a connection, and what its certificate is worth now.
//!
//! A chain is verified when a request needs to know and not before: by the authorities and the
//! time of that request. The verdict is kept until either changes it.

use std::cell::{OnceCell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::listener::Listener;
use crate::context::callers::{self, UnixPeer};
use crate::context::certificate::Names;
use crate::context::hex;
use crate::context::trust::Verdict;
use crate::listen::authority::Validity;
use crate::listen::client_auth::Authorities;
use crate::listen::handshake::Established;
use crate::span::record::Fault;

/// A connection's caller.
#[derive(Debug)]
pub struct Caller {
    /// The TCP peer or the announced address; absent on unix sockets.
    pub address: Option<IpAddr>,
    unix: Option<UnixPeer>,
    presented: Option<Presented>,
}

/// What a caller's certificate is worth at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It presented none, or nobody is asked for one any more.
    Anonymous,
    /// It has one that proves nothing: expired, of another authority, or not to be read.
    Unverified,
    /// These are its names.
    Verified(&'a Names),
}

/// A chain whose private key the caller has, and what was found out about it.
#[derive(Debug)]
struct Presented {
    chain: Vec<CertificateDer<'static>>,
    /// Seconds at which a certificate of the chain begins or ceases to be valid; `None` if one
    /// of them can't be read.
    turns: OnceCell<Option<Box<[u64]>>>,
    names: OnceCell<Option<Box<Names>>>,
    judged: RefCell<Option<Judged>>,
    digest: OnceCell<[u8; hex::DIGITS]>,
}

/// A verdict, and as long as what it holds.
#[derive(Debug)]
struct Judged {
    /// Holding it keeps its address from being another's.
    by: Arc<Authorities>,
    /// Seconds since the Unix epoch: from the first, up to and without the second.
    from: u64,
    until: u64,
    verified: bool,
}

impl Caller {
    /// Takes over what the connection's beginning told. Chains are moved, not copied.
    pub fn of(established: &mut Established) -> Self {
        let chain = std::mem::take(&mut established.certificates);
        let unix = established.credentials.map(|peer| UnixPeer {
            uid: peer.uid,
            gid: peer.gid,
        });
        Self::known(established.client, unix, chain)
    }

    /// A caller of whom this is known; the chain is its own certificate first, or empty.
    pub fn known(
        address: Option<IpAddr>,
        unix: Option<UnixPeer>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self {
            address,
            unix,
            presented: (!chain.is_empty()).then(|| Presented::new(chain)),
        }
    }

    /// What this caller's context may do, now.
    pub fn judge(&self, listener: &Listener) -> Verdict {
        let policy = &listener.settings.trust;
        let certificate = if policy.looks_at_certificates() {
            match self.standing(listener.clients.as_ref(), UnixTime::now) {
                Standing::Verified(names) => Some(names),
                Standing::Anonymous | Standing::Unverified => None,
            }
        } else {
            None
        };
        policy.judge(&callers::Caller {
            address: self.address,
            certificate,
            unix: self.unix,
        })
    }

    /// What is known of it, with a certificate of these names.
    pub fn with_certificate<'a>(&self, names: &'a Names) -> callers::Caller<'a> {
        callers::Caller {
            address: self.address,
            certificate: Some(names),
            unix: self.unix,
        }
    }

    /// SHA-256 of its certificate, in lower-case hexadecimal digits; `None` if it has none.
    pub fn digest(&self) -> Option<&str> {
        let presented = self.presented.as_ref()?;
        let digest = presented.digest.get_or_init(|| {
            let own = presented.chain.first().map_or(&[][..], |own| own);
            let mut bytes = [0; hex::DIGITS / 2];
            // As long as SHA-256 is.
            bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, own).as_ref());
            hex::encode(&bytes)
        });
        std::str::from_utf8(digest).ok()
    }

    /// Where a certificate is required: whether it verifies, now.
    ///
    /// # Errors
    /// When it doesn't, or was never asked for because the connection is older than the rule.
    pub fn admit(&self, listener: &Listener) -> Result<(), Fault> {
        let authorities = listener.clients.as_ref();
        if !authorities.is_some_and(|authorities| authorities.required()) {
            return Ok(());
        }
        match self.standing(authorities, UnixTime::now) {
            Standing::Verified(_) => Ok(()),
            Standing::Anonymous | Standing::Unverified => Err(Fault::ClientCertificate),
        }
    }

    /// What the certificate is worth to these authorities. A resumed session's is the one of the
    /// session it resumes. The clock is read only if there is something to judge.
    pub fn standing(
        &self,
        authorities: Option<&Arc<Authorities>>,
        now: impl FnOnce() -> UnixTime,
    ) -> Standing<'_> {
        match (&self.presented, authorities) {
            (Some(presented), Some(authorities)) => presented.standing(authorities, now()),
            _ => Standing::Anonymous,
        }
    }
}

impl Presented {
    const fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            chain,
            turns: OnceCell::new(),
            names: OnceCell::new(),
            judged: RefCell::new(None),
            digest: OnceCell::new(),
        }
    }

    fn standing(&self, authorities: &Arc<Authorities>, now: UnixTime) -> Standing<'_> {
        if !self.verified(authorities, now) {
            return Standing::Unverified;
        }
        let names = self.names.get_or_init(|| {
            let own = self.chain.first()?;
            Names::parse(own).map(Box::new)
        });
        names
            .as_deref()
            .map_or(Standing::Unverified, Standing::Verified)
    }

    fn verified(&self, authorities: &Arc<Authorities>, now: UnixTime) -> bool {
        let mut kept = self.judged.borrow_mut();
        if let Some(judged) = &*kept
            && Arc::ptr_eq(&judged.by, authorities)
            && (judged.from..judged.until).contains(&now.as_secs())
        {
            return judged.verified;
        }
        let judged = self.verify(authorities, now.as_secs());
        kept.insert(judged).verified
    }

    fn verify(&self, authorities: &Arc<Authorities>, now: u64) -> Judged {
        let Some(turns) = self.turns.get_or_init(|| turns(&self.chain)) else {
            return Judged {
                by: Arc::clone(authorities),
                from: 0,
                until: u64::MAX,
                verified: false,
            };
        };
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verified = authorities.verify(&self.chain, time);
        if let Err(error) = &verified {
            tracing::debug!(%error, "a client certificate doesn't verify");
        }
        // Between two turns, the authorities' included, time changes nothing.
        let all = || turns.iter().chain(authorities.turns());
        let past = all().filter(|turn| **turn <= now);
        let to_come = all().filter(|turn| **turn > now);
        Judged {
            by: Arc::clone(authorities),
            from: past.max().copied().unwrap_or(0),
            until: to_come.min().copied().unwrap_or(u64::MAX),
            verified: verified.is_ok(),
        }
    }
}

fn turns(chain: &[CertificateDer<'_>]) -> Option<Box<[u64]>> {
    let validities: Option<Vec<Validity>> = chain.iter().map(|c| Validity::parse(c)).collect();
    let turns = validities?.into_iter().flat_map(Validity::turns).collect();
    Some(turns)
}

#[cfg(test)]
mod tests;

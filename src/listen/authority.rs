//! Certificates that issue others: whether they may (RFC 5280, sections 4.2.1.3, 4.2.1.9 and
//! 4.2.1.12), and when (section 4.1.2.5).
//!
//! To webpki a trust anchor is a name and a key, and no certificate's key usage counts. Here what an
//! authority's own certificate says binds it, as it does before an API server (Go's crypto/x509).

use std::fmt;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use webpki::{Error, RequiredEkuNotFoundContext};
use x509_cert::Certificate;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// When a certificate is valid, in seconds since the Unix epoch; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

/// What binds an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its name, as RFC 4514 writes it.
    pub subject: String,
    /// When what it issues can be valid.
    pub validity: Validity,
    /// How many authorities may stand between it and a caller; `None`: any number.
    path_length: Option<u8>,
    /// Whether its own extended key usage, if it has one, lets it issue to clients.
    to_clients: bool,
}

/// Why a certificate can't be an authority's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAuthority {
    /// Its name, if it could be read.
    subject: Option<String>,
    why: &'static str,
}

impl Validity {
    /// Reads a DER certificate; `None` if it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        Some(Self::of(certificate.tbs_certificate()))
    }

    fn of(certificate: &TbsCertificate) -> Self {
        let validity = certificate.validity();
        Self {
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
        }
    }

    /// The seconds at which it begins and has ceased to be valid.
    pub const fn turns(self) -> [u64; 2] {
        [self.not_before, self.not_after.saturating_add(1)]
    }

    /// Whether it is valid at that time.
    ///
    /// # Errors
    /// [`Error::CertNotValidYet`] or [`Error::CertExpired`].
    pub fn check(self, time: UnixTime) -> Result<(), Error> {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        if time.as_secs() < self.not_before {
            let not_before = at(self.not_before);
            return Err(Error::CertNotValidYet { time, not_before });
        }
        if time.as_secs() > self.not_after {
            let not_after = at(self.not_after);
            return Err(Error::CertExpired { time, not_after });
        }
        Ok(())
    }
}

impl Authority {
    /// Reads a DER certificate, whenever it is valid.
    ///
    /// # Errors
    /// When it can't be read, or what it says of itself lets it issue none: basic constraints that
    /// aren't `CA:TRUE` (before version 3 there are none), or a key usage without `keyCertSign`.
    pub fn parse(der: &[u8]) -> Result<Self, NoAuthority> {
        let unreadable = |why| NoAuthority { subject: None, why };
        let certificate =
            Certificate::from_der(der).map_err(|_| unreadable("can't be read as X.509"))?;
        let certificate = certificate.tbs_certificate();
        let subject = certificate.subject().to_string();
        let refused = |why| NoAuthority {
            subject: Some(subject.clone()),
            why,
        };
        let constraints = extension::<BasicConstraints>(certificate)
            .ok_or_else(|| refused("has basic constraints that can't be read"))?;
        let is_authority = match &constraints {
            Some(constraints) => constraints.ca,
            None => certificate.version() != Version::V3,
        };
        if !is_authority {
            return Err(refused(
                "is no authority's: no basic constraints say CA:TRUE",
            ));
        }
        let usage = extension::<KeyUsage>(certificate)
            .ok_or_else(|| refused("has a key usage that can't be read"))?;
        if usage.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(refused(
                "is no authority's: its key usage has no keyCertSign",
            ));
        }
        let purposes = extension::<ExtendedKeyUsage>(certificate)
            .ok_or_else(|| refused("has an extended key usage that can't be read"))?;
        let for_clients = |purpose: &ObjectIdentifier| [CLIENT_AUTH, ANY_USAGE].contains(purpose);
        Ok(Self {
            validity: Validity::of(certificate),
            path_length: constraints.and_then(|constraints| constraints.path_len_constraint),
            to_clients: purposes.is_none_or(|purposes| purposes.0.iter().any(for_clients)),
            subject,
        })
    }

    /// Whether a chain with so many authorities below it may end in it, at that time.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, below: usize, time: UnixTime) -> Result<(), Error> {
        self.validity.check(time)?;
        if self
            .path_length
            .is_some_and(|most| below > usize::from(most))
        {
            return Err(Error::PathLenConstraintViolated);
        }
        match self.to_clients {
            true => Ok(()),
            false => Err(Error::RequiredEkuNotFoundContext(
                RequiredEkuNotFoundContext {
                    required: webpki::KeyUsage::client_auth(),
                    present: Vec::new(),
                },
            )),
        }
    }
}

/// `None` if it is there and can't be read, or is there twice.
fn extension<'a, T>(certificate: &'a TbsCertificate) -> Option<Option<T>>
where
    T: Decode<'a> + AssociatedOid,
{
    let found = certificate.get_extension::<T>().ok()?;
    Some(found.map(|(_, extension)| extension))
}

impl fmt::Display for NoAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "({subject:?}) ")?;
        }
        f.write_str(self.why)
    }
}

impl std::error::Error for NoAuthority {}

#[cfg(test)]
mod tests;

//! What the caller's certificate is worth to a listener.

use std::fmt::{self, Display, Formatter};

use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use super::Scene;
use crate::context::certificate::Names;
use crate::proxy::caller::Standing;

/// A certificate that was presented, as it is judged now.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The listener asks nobody for one.
    Unasked,
    /// It proves nothing.
    Unverified,
    /// Its holder's names.
    Verified(Names),
}

impl Identity {
    /// `None` if no certificate is presented.
    pub fn of(scene: &Scene<'_>) -> Option<Self> {
        if scene.question.from.certificates.is_empty() {
            return None;
        }
        let caller = scene.caller();
        Some(
            match caller.standing(scene.clients.as_ref(), UnixTime::now) {
                Standing::Anonymous => Self::Unasked,
                Standing::Unverified => Self::Unverified,
                Standing::Verified(names) => Self::Verified(names.clone()),
            },
        )
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        match self {
            Self::Unasked => json!({"state": "unasked"}),
            Self::Unverified => json!({"state": "unverified"}),
            Self::Verified(names) => {
                let subject = names.subject.as_ref();
                json!({
                    "state": "verified",
                    "commonName": subject.map(|subject| &subject.common_name),
                    "groups": subject.map(|subject| &subject.groups),
                    "dnsSANs": names.dns,
                    "uriSANs": names.uris,
                })
            }
        }
    }
}

impl Display for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = match self {
            Self::Unasked => {
                return f.write_str("not asked for: the listener has no clientAuth");
            }
            Self::Unverified => {
                return f.write_str(
                    "proves nothing: clientCAFile has nobody who vouches for it now \
                     (another authority's, expired, or not yet valid)",
                );
            }
            Self::Verified(names) => names,
        };
        f.write_str("verified:")?;
        if let Some(subject) = &names.subject {
            write!(f, " CN={}", subject.common_name.escape_debug())?;
            for group in &subject.groups {
                write!(f, " O={}", group.escape_debug())?;
            }
        }
        for name in &names.dns {
            write!(f, " DNS={}", name.escape_debug())?;
        }
        for uri in &names.uris {
            write!(f, " URI={}", uri.escape_debug())?;
        }
        Ok(())
    }
}

//! Certificates that callers may present, good and not.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use crate::files::{Authority, TempDir};
use crate::trust::{holder, until};

/// What a caller presents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    Nothing,
    Developer,
    Operator,
    /// Nobody's, for it has no common name.
    Nameless,
    Expired,
    Foreign,
}

impl Chain {
    pub const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Developer,
        Self::Operator,
        Self::Nameless,
        Self::Expired,
        Self::Foreign,
    ];
}

/// A directory with the listener's own files, and the chains.
pub struct Credentials {
    pub directory: TempDir,
    chains: Vec<Vec<CertificateDer<'static>>>,
}

impl Credentials {
    pub fn new() -> Self {
        let (directory, [clients, other]) = (TempDir::new(), [(); 2].map(|()| Authority::new()));
        directory.file("clients.pem", clients.pem());
        clients.issue(&["a.example"]).write(&directory, "server");
        let past = SystemTime::now() - Duration::from_secs(3600);
        let chain = |chain| {
            let issued = match chain {
                Chain::Nothing => return Vec::new(),
                Chain::Developer => clients.sign(holder("alice", "dev")),
                Chain::Operator => clients.sign(holder("alice", "ops")),
                Chain::Nameless => clients.sign(holder("", "dev")),
                Chain::Expired => clients.sign(until(holder("alice", "dev"), past)),
                Chain::Foreign => other.sign(holder("alice", "dev")),
            };
            issued.der().0
        };
        Self {
            chains: Chain::ALL.into_iter().map(chain).collect(),
            directory,
        }
    }

    pub fn chain(&self, wanted: Chain) -> Vec<CertificateDer<'static>> {
        let at = Chain::ALL.iter().position(|chain| *chain == wanted);
        self.chains[at.expect("one of all")].clone()
    }
}

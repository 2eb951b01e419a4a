//! Bodies much larger than the memory they may take, through the program as users run it.

use std::time::Duration;

use http::Method;

use super::made::{made, read};
use super::{KIB, MIB, PAIRINGS, PAUSE, component};
use crate::caller::{Caller, Speaks, block_on_for, empty};
use crate::files::TempDir;
use crate::process::Process;
use crate::server::{Listen, Server};

/// What memory may grow by, in KiB.
const FLAT: u64 = 32 * KIB;

/// Bound on one test.
const LONG: Duration = Duration::from_secs(120);

/// The program between a caller and the component, for every pairing, warmed up.
struct Setup {
    process: Process,
    warm: u64,
    _server: Server,
    _directory: TempDir,
}

impl Setup {
    fn start() -> Self {
        let (server, directory) = (component(Listen::Tcp), TempDir::new());
        let mut yaml = String::from(
            "tracing: {samplingRatePerMillion: 1000000, export: {protocol: none}}\n\
             workers: 1\nlisteners:\n",
        );
        for up in Speaks::BOTH {
            yaml += &format!(
                "- name: {0}\n  bind: 127.0.0.1:0\n  upstream: {{url: \"{1}\", protocol: {0}}}\n",
                up.name(),
                server.url()
            );
        }
        let process = Process::start(&directory, &yaml);
        let mut setup = Self {
            process,
            warm: 0,
            _server: server,
            _directory: directory,
        };
        block_on_for(LONG, async {
            for pairing in PAIRINGS {
                setup.down(pairing, 8 * MIB, None).await;
                setup.up(pairing, 8 * MIB, "").await;
            }
        });
        setup.warm = setup.process.memory().0;
        setup
    }

    async fn caller(&self, (down, up): (Speaks, Speaks)) -> Caller {
        Caller::tcp(self.process.address(up.name()), down).await
    }

    async fn down(&self, pairing: (Speaks, Speaks), size: u64, pause: Option<Duration>) {
        let mut caller = self.caller(pairing).await;
        let request = caller.request(Method::GET, &format!("/{size}"));
        let response = caller.send(request.body(empty()).expect("a request")).await;
        let check = read(response.into_body(), pause).await.expect("a body");
        let verdict = check.verdict();
        assert!(
            verdict.starts_with(&format!("{size} bytes, as made")),
            "{verdict}"
        );
        self.flat(pairing);
    }

    async fn up(&self, pairing: (Speaks, Speaks), size: u64, query: &str) {
        let mut caller = self.caller(pairing).await;
        let request = caller.request(Method::PUT, &format!("/{query}"));
        let request = request.body(made(size, true)).expect("a request");
        let verdict = caller.exchange(request).await.text();
        assert!(
            verdict.starts_with(&format!("{size} bytes, as made")),
            "{verdict}"
        );
        self.flat(pairing);
    }

    /// The most memory ever used is little more than what it took when warm.
    fn flat(&self, pairing: (Speaks, Speaks)) {
        let ((_, peak), warm) = (self.process.memory(), self.warm);
        assert!(
            warm == 0 || peak <= warm + FLAT,
            "{pairing:?}: {peak} KiB, and {warm} KiB when warm"
        );
    }
}

#[test]
fn a_gibibyte_each_way_passes_in_flat_memory() {
    let setup = Setup::start();
    block_on_for(LONG, async {
        setup.down(PAIRINGS[0], 1024 * MIB, None).await;
        setup.up(PAIRINGS[0], 1024 * MIB, "").await;
    });
}

#[test]
fn large_bodies_pass_in_flat_memory_in_the_other_pairings() {
    let setup = Setup::start();
    block_on_for(LONG, async {
        for pairing in &PAIRINGS[1..] {
            setup.down(*pairing, 128 * MIB, None).await;
            setup.up(*pairing, 128 * MIB, "").await;
        }
    });
}

#[test]
fn slow_readers_of_large_bodies_cost_no_memory() {
    let setup = Setup::start();
    block_on_for(LONG, async {
        for pairing in PAIRINGS {
            setup.down(pairing, 128 * MIB, Some(PAUSE)).await;
        }
    });
}

#[test]
fn a_slow_upstream_of_large_bodies_costs_no_memory() {
    let setup = Setup::start();
    block_on_for(LONG, async {
        for pairing in PAIRINGS {
            setup.up(pairing, 128 * MIB, "?slow").await;
        }
    });
}

//! What `/metrics` says, read as strictly as the format is specified.

mod strict;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracegate::metrics::Format;

use super::component::PATIENCE;
use super::wire;

/// One scrape.
pub struct Scrape(strict::Samples);

impl Scrape {
    /// Asks the health (or admin) server.
    pub fn of(server: SocketAddr) -> Self {
        Self::asking(server, "*/*", Format::Text)
    }

    /// The same in OpenMetrics.
    pub fn open(server: SocketAddr) -> Self {
        let accept = "application/openmetrics-text;version=1.0.0";
        Self::asking(server, accept, Format::OpenMetrics)
    }

    fn asking(server: SocketAddr, accept: &str, format: Format) -> Self {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {server}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        let answer = wire::exchange(server, &request);
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self(strict::Samples::read(text, format).unwrap_or_else(|fault| panic!("{fault}\n{text}")))
    }

    /// The trace ids of all exemplars.
    pub fn exemplar_traces(&self) -> Vec<String> {
        self.0.exemplar_traces()
    }

    /// The sum of the samples of that name with this label.
    pub fn matching(&self, name: &str, label: &str, value: &str) -> u64 {
        self.0.matching(name, label, value) as u64
    }

    /// A sample; 0 if it isn't there.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.0.get(name, labels).map_or(0, |value| value as u64)
    }
}

/// Scrapes until a sample has that value.
pub fn wait_for(server: SocketAddr, name: &str, labels: &[(&str, &str)], value: u64) -> Scrape {
    let until = Instant::now() + PATIENCE;
    loop {
        let scrape = Scrape::of(server);
        let found = scrape.get(name, labels);
        if found == value {
            return scrape;
        }
        assert!(
            Instant::now() < until,
            "{name}{labels:?}: expected {value}, found {found}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Requests one after the other, each of them timed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::super::component::PATIENCE;

/// A caller that keeps its connection.
pub struct Caller(BufReader<TcpStream>);

impl Caller {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// One request with these further header lines, which has to succeed; how long it took.
    pub fn request(&mut self, lines: &str) -> Duration {
        let request = format!("GET / HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n");
        let start = Instant::now();
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .expect("a socket");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer in time");
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).expect("an answer in time");
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("an answer in time");
        start.elapsed()
    }
}

/// The 99th percentile.
pub fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

//! A component that takes nothing but unambiguous HTTP/1.1: whatever two servers might read
//! differently is a violation, and kept as it came.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::component::PATIENCE;

/// A request as it came, to the byte.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// Request line and fields, the empty line left out.
    pub head: String,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Raw {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Values of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

#[derive(Default)]
struct Log {
    requests: Vec<Raw>,
    violations: Vec<String>,
    cut: usize,
}

/// Why there is no request.
enum Bad {
    /// It can be read in more than one way.
    Violation(String),
    /// The connection ended before it was complete.
    Cut,
}

impl From<&str> for Bad {
    fn from(why: &str) -> Self {
        Self::Violation(why.to_owned())
    }
}

/// A running component; ends when dropped.
pub struct Strict {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Strict {
    /// Answers every request with 200 and a short body.
    pub fn start() -> Self {
        Self::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// Answers every request with these bytes.
    pub fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (log, stop) = (Arc::new(Mutex::new(Log::default())), Arc::default());
        let (shared, stopped) = (Arc::clone(&log), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if AtomicBool::load(&stopped, Ordering::Relaxed) {
                    break;
                }
                let (log, stream) = (Arc::clone(&shared), stream.expect("a connection"));
                connections.push(std::thread::spawn(move || serve(stream, &log, answer)));
            }
            for connection in connections {
                connection.join().expect("it doesn't panic");
            }
        });
        Self {
            address,
            log,
            stop,
            thread: Some(thread),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends with the last connection: the proxy has to end first. How many requests ended with
    /// their connection, and whole ones not taken yet. Panics if anything ambiguous came.
    pub fn finish(mut self) -> (usize, Vec<Raw>) {
        self.stop();
        let cut = self.log.lock().expect("no panic").cut;
        (cut, self.take())
    }

    /// Requests taken since the last call. Panics if anything ambiguous came.
    pub fn take(&self) -> Vec<Raw> {
        let mut log = self.log.lock().expect("no panic");
        assert!(log.violations.is_empty(), "{:#?}", log.violations);
        std::mem::take(&mut log.requests)
    }
}

impl Strict {
    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Log>, answer: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut seen = Vec::new();
    loop {
        seen.clear();
        match request(&mut stream, &mut seen) {
            Ok(Some(raw)) => log.lock().expect("no panic").requests.push(raw),
            Ok(None) => return,
            Err(Bad::Cut) => {
                log.lock().expect("no panic").cut += 1;
                return;
            }
            Err(Bad::Violation(why)) => {
                let bytes = String::from_utf8_lossy(&seen).into_owned();
                let violation = format!("{why} in {bytes:?}");
                log.lock().expect("no panic").violations.push(violation);
                return;
            }
        }
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// One request; `None` at the end of the connection.
fn request(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Result<Option<Raw>, Bad> {
    let head = until(stream, seen, b"\r\n\r\n")?;
    let Some(head) = head else { return Ok(None) };
    let head = &head[..head.len() - 4];
    let length = framing(head)?;
    let body = match length {
        Framing::Length(length) => exactly(stream, seen, length)?,
        Framing::Chunked => chunks(stream, seen)?,
    };
    let head = String::from_utf8_lossy(head).into_owned();
    Ok(Some(Raw { head, body }))
}

enum Framing {
    Length(usize),
    Chunked,
}

/// Checks a head and says how long the body is.
fn framing(head: &[u8]) -> Result<Framing, Bad> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.iter().find(|b| matches!(b, b'\r' | b'\n' | 0)) {
            Some(byte) => Err(Bad::Violation(format!("byte {byte:#x}"))),
            None => Ok(line),
        }
    });
    if head
        .windows(2)
        .any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
    {
        return Err("a bare line feed".into());
    }
    request_line(lines.next().unwrap_or(Ok(b""))?)?;
    let (mut hosts, mut length, mut chunked) = (0, None, false);
    for line in lines {
        let line = line?;
        let colon = line.iter().position(|b| *b == b':').ok_or("no colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        http::HeaderName::from_bytes(name).map_err(|_| "a name that is none")?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            if !digits || length.is_some() {
                return Err("an odd or second content-length".into());
            }
            length = Some(number.ok_or("a content-length too large")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if value != b"chunked" || chunked {
                return Err("an odd or second transfer-encoding".into());
            }
            chunked = true;
        }
    }
    match (hosts, length, chunked) {
        (1, Some(length), false) => Ok(Framing::Length(length)),
        (1, None, false) => Ok(Framing::Length(0)),
        (1, None, true) => Ok(Framing::Chunked),
        (1, Some(_), true) => Err("both content-length and transfer-encoding".into()),
        _ => Err(format!("{hosts} Host fields").as_str().into()),
    }
}

fn request_line(line: &[u8]) -> Result<(), Bad> {
    let parts: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, b"HTTP/1.1"] = parts[..] else {
        return Err("an odd request line".into());
    };
    let token = http::HeaderName::from_bytes(method).is_ok();
    let visible = target.iter().all(|b| b.is_ascii_graphic() || *b >= 0x80);
    if !token || !visible || !(target.starts_with(b"/") || target == b"*") {
        return Err("an odd method or target".into());
    }
    Ok(())
}

fn chunks(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Result<Vec<u8>, Bad> {
    let mut body = Vec::new();
    loop {
        let line = until(stream, seen, b"\r\n")?.ok_or(Bad::Cut)?;
        let digits = &line[..line.len() - 2];
        let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(digits).ok().filter(|_| plain);
        let size = size.and_then(|s| usize::from_str_radix(s, 16).ok());
        let size = size.ok_or("an odd chunk size")?;
        if size == 0 {
            break;
        }
        body.extend(exactly(stream, seen, size)?);
        if exactly(stream, seen, 2)? != b"\r\n" {
            return Err("a chunk of another length".into());
        }
    }
    // Trailers up to the empty line.
    while until(stream, seen, b"\r\n")?.ok_or(Bad::Cut)? != b"\r\n" {}
    Ok(body)
}

fn until(stream: &mut TcpStream, seen: &mut Vec<u8>, end: &[u8]) -> Result<Option<Vec<u8>>, Bad> {
    let start = seen.len();
    while !seen[start..].ends_with(end) {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ if seen.len() == start && start == 0 => return Ok(None),
            _ => return Err(Bad::Cut),
        }
    }
    Ok(Some(seen[start..].to_vec()))
}

fn exactly(stream: &mut TcpStream, seen: &mut Vec<u8>, count: usize) -> Result<Vec<u8>, Bad> {
    let start = seen.len();
    for _ in 0..count {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return Err(Bad::Cut),
        }
    }
    Ok(seen[start..].to_vec())
}

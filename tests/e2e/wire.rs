//! HTTP/1.1 as bytes: what is sent and what comes back, to the letter.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::component::PATIENCE;

/// A connection on which bytes are written and read as they are.
pub struct Wire(TcpStream);

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self(stream)
    }
}

impl Wire {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self(stream)
    }

    /// Sends bytes. A peer that has closed is noticed on reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// Reads up to and including the empty line that ends a head.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte).expect("bytes in time") {
                0 => break,
                _ => head.push(byte[0]),
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Reads exactly that many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("bytes in time");
        bytes
    }

    /// Reads until the peer closes (or resets) the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        bytes
    }

    /// Sends a request and reads its answer, whose length has to be told; the connection stays.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> (String, Vec<u8>) {
        self.send(request);
        let head = self.head();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, length)| length.trim().parse().ok());
        let body = self.exactly(length.unwrap_or(0));
        (head, body)
    }

    /// Reads once: what is there, nothing at the end.
    pub fn some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 64 * 1024];
        let count = self.0.read(&mut bytes).expect("bytes in time");
        bytes.truncate(count);
        bytes
    }

    /// A head and the body its `Content-Length` announces.
    pub fn message(&mut self) -> (String, Vec<u8>) {
        self.ask("")
    }

    /// Closes in a way the peer sees as a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.0);
        socket
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("a socket");
    }

    /// A second handle of the same connection.
    pub fn again(&self) -> Self {
        Self(self.0.try_clone().expect("a socket"))
    }

    /// Ends this side's sending.
    pub fn finish(&self) {
        self.0
            .shutdown(std::net::Shutdown::Write)
            .expect("an open socket");
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.0
    }
}

/// One request on a connection of its own; everything that came back until the peer closed.
/// The request should say `Connection: close`.
pub fn exchange(address: SocketAddr, request: &str) -> String {
    let mut wire = Wire::connect(address);
    wire.send(request);
    String::from_utf8_lossy(&wire.rest()).into_owned()
}

/// A component that speaks bytes: `script` runs once per connection, in order, on one thread.
pub struct Scripted {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Serves `connections` connections, one after the other.
    pub fn start(connections: usize, mut script: impl FnMut(usize, Wire) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let thread = std::thread::spawn(move || {
            for index in 0..connections {
                let (stream, _) = listener.accept().expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                script(index, Wire(stream));
            }
        });
        Self {
            address,
            thread: Some(thread),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until every connection has been served; a panic of the script is the test's.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the script succeeds");
        }
    }
}

/// The same over a unix socket.
pub fn exchange_unix(path: &std::path::Path, request: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(path).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Status of an answer's head.
pub fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    status.unwrap_or_else(|| panic!("expected an answer, got {answer:?}"))
}

//! HTTP/2 as frames: what no library would send. Header blocks are literals without Huffman
//! coding or indexing, so that every byte reaches the peer as it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::component::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// How a stream, or the whole connection, was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// By a response of this status.
    Status(u16),
    /// By RST_STREAM with this code.
    Reset(u32),
    /// By GOAWAY with this code.
    GoAway(u32),
    /// By closing the connection.
    Closed,
}

/// What a peer sends to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A request's head, on this stream.
    Head(u32),
    /// The stream's reset, with this code.
    Reset(u32, u32),
    /// The connection's end, with this code if one was given.
    End(Option<u32>),
}

/// A connection on which frames are written as they are.
pub struct Frames(Box<dyn Stream>);

/// Bytes both ways.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One field of a header block.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// The pseudo-header fields of a well-formed request.
pub fn pseudo<'a>(method: &'a str, path: &'a str) -> Vec<Field<'a>> {
    vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"example.com"),
        (b":path", path.as_bytes()),
    ]
}

/// A header block of literals.
pub fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        literal(name, &mut out);
        literal(value, &mut out);
    }
    out
}

/// RFC 7541, section 5.2, without Huffman coding.
fn literal(text: &[u8], out: &mut Vec<u8>) {
    const PREFIX: usize = 127;
    if text.len() < PREFIX {
        out.push(text.len() as u8);
    } else {
        out.push(PREFIX as u8);
        let mut rest = text.len() - PREFIX;
        while rest >= 128 {
            out.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
}

impl Frames {
    /// Connects and says hello.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self::hello(Box::new(stream))
    }

    /// The same over a unix socket.
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::hello(Box::new(stream))
    }

    fn hello(stream: Box<dyn Stream>) -> Self {
        let mut frames = Self(stream);
        let hello = frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        hello.expect("a connection");
        frames.frame(SETTINGS, 0, 0, &[]);
        frames
    }

    /// Accepts a connection, as a component, and says hello.
    pub fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut frames = Self(Box::new(stream));
        let mut hello = [0; 24];
        frames.0.read_exact(&mut hello).expect("a hello");
        frames.frame(SETTINGS, 0, 0, &[]);
        frames
    }

    /// What of interest comes next.
    pub fn came(&mut self) -> Came {
        loop {
            let Some((kind, flags, stream, payload)) = self.next() else {
                return Came::End(None);
            };
            match kind {
                HEADERS => return Came::Head(stream),
                RST_STREAM => return Came::Reset(stream, word(&payload)),
                GOAWAY => return Came::End(payload.get(4..).map(word)),
                SETTINGS if flags & ACK == 0 => {
                    self.frame(SETTINGS, ACK, 0, &[]);
                }
                _ => {}
            }
        }
    }

    /// Reads on to a ping; whether one comes.
    pub fn pinged(&mut self) -> bool {
        while let Some((kind, flags, ..)) = self.next() {
            match kind {
                PING if flags & ACK == 0 => return true,
                SETTINGS if flags & ACK == 0 => {
                    self.frame(SETTINGS, ACK, 0, &[]);
                }
                _ => {}
            }
        }
        false
    }

    /// Lets the peer send so many bytes more on the connection.
    pub fn widen(&mut self, bytes: u32) -> bool {
        self.frame(WINDOW_UPDATE, 0, 0, &bytes.to_be_bytes())
    }

    /// Takes leave, of streams beyond `last`, with this code and these words.
    pub fn goaway(&mut self, last: u32, code: u32, words: &[u8]) -> bool {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        payload.extend(words);
        self.frame(GOAWAY, 0, 0, &payload)
    }

    /// Sends a whole request head.
    pub fn head(&mut self, stream: u32, fields: &[Field<'_>], end_stream: bool) -> bool {
        let flags = END_HEADERS | if end_stream { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &block(fields))
    }

    /// Sends a whole request head whose block is this.
    pub fn head_of(&mut self, stream: u32, block: &[u8]) -> bool {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
    }

    /// Sends a head whose block goes on in further frames.
    pub fn open_head(&mut self, stream: u32, block: &[u8]) -> bool {
        self.frame(HEADERS, END_STREAM, stream, block)
    }

    /// Goes on with a head.
    pub fn continuation(&mut self, stream: u32, block: &[u8]) -> bool {
        self.frame(CONTINUATION, 0, stream, block)
    }

    /// Sends bytes of a body.
    pub fn data(&mut self, stream: u32, bytes: &[u8]) -> bool {
        self.frame(DATA, 0, stream, bytes)
    }

    /// Sends the same bytes in many frames.
    pub fn flood(&mut self, stream: u32, bytes: &[u8], frames: usize) -> bool {
        let length = (bytes.len() as u32).to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([DATA, 0]);
        frame.extend(stream.to_be_bytes());
        frame.extend(bytes);
        self.0.write_all(&frame.repeat(frames)).is_ok()
    }

    /// Sends a body's last frame.
    pub fn last_data(&mut self, stream: u32, bytes: &[u8]) -> bool {
        self.frame(DATA, END_STREAM, stream, bytes)
    }

    /// Cancels a stream.
    pub fn cancel(&mut self, stream: u32) -> bool {
        self.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
    }

    /// How the stream is answered, or the connection if that comes first.
    pub fn answered(&mut self, stream: u32) -> Answered {
        loop {
            let Some((kind, flags, at, payload)) = self.next() else {
                return Answered::Closed;
            };
            match kind {
                HEADERS if at == stream => return Answered::Status(status(&payload)),
                RST_STREAM if at == stream => return Answered::Reset(word(&payload)),
                GOAWAY => return Answered::GoAway(word(payload.get(4..).unwrap_or_default())),
                SETTINGS if flags & ACK == 0 => {
                    self.frame(SETTINGS, ACK, 0, &[]);
                }
                _ => {}
            }
        }
    }

    /// Writes a frame; whether the peer still takes it.
    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).is_ok()
    }

    fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], word(&head[5..]), payload))
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(u32::MAX, |b| u32::from_be_bytes(*b))
}

/// `:status`, the first field of a response's block (RFC 7541, appendix A: entries 8 to 14).
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match *block {
        [first @ 0x88..=0x8e, ..] => INDEXED[usize::from(first - 0x88)],
        [_, length, ref rest @ ..] if length & 0x80 != 0 => {
            digits(&rest[..usize::from(length & 0x7f)])
        }
        [_, length, ref rest @ ..] => std::str::from_utf8(&rest[..usize::from(length)])
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("a status"),
        _ => panic!("expected a response's head, got {block:?}"),
    }
}

/// Three digits in Huffman coding (RFC 7541, appendix B): 0 to 2 take five bits, others six.
fn digits(coded: &[u8]) -> u16 {
    let mut bits = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    let mut take = |count| (0..count).fold(0, |sum, _| sum << 1 | bits.next().expect("a digit"));
    (0..3).fold(0, |number, _| {
        let five = take(5);
        let digit = if five <= 2 {
            five
        } else {
            (five << 1 | take(1)) - 0b01_1001 + 3
        };
        number * 10 + digit
    })
}

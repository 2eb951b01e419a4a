//! What becomes of the upstream's heads.

use std::cell::Cell;
use std::rc::Rc;

use http::header::{self, HeaderName};

use super::chunks::{Decoder, Encoder};
use super::fields::Fields;
use super::{Wires, parse};
use crate::proxy::activity::Open;
use crate::proxy::exchange::Exchange;
use crate::proxy::exchange::open::Uploaded;
use crate::proxy::framing::{self, Coding, Length};
use crate::proxy::head::{Head as _, has_token};
use crate::proxy::hop::{self, Upgrade};
use crate::proxy::interim::MOST;
use crate::proxy::pipeline::{self, Wanted};
use crate::proxy::trace::{self, Traced};
use crate::proxy::trailers;
use crate::proxy::upstream::Version;
use crate::span::record::{Fault, Outcome};

/// What a response is relayed with.
pub struct Reply {
    /// Ends once.
    pub exchange: Exchange,
    /// Keeps the connection from being idle.
    pub open: Open,
    /// What was decided.
    pub traced: Traced,
    /// What the caller wants.
    pub wanted: Wanted,
    /// The request's bytes, if anybody reads the number.
    pub counter: Option<Rc<Uploaded>>,
    /// The method is HEAD.
    pub to_head: bool,
    /// The caller speaks HTTP/1.0.
    pub http10: bool,
    /// The request is gRPC's.
    pub grpc: bool,
    /// The caller's body waits for a word, and none of it came.
    pub waits: bool,
    /// The request is idempotent and has no body.
    pub repeatable: bool,
    /// The caller's connection may carry another request.
    pub keep: bool,
    /// The upstream's connection may carry another request.
    pub keep_up: bool,
    /// Interim responses that came.
    pub interim: u8,
    /// The connection is to end.
    pub finishing: Rc<Cell<bool>>,
}

/// What a head was.
pub enum Head {
    /// Another one follows.
    Interim,
    /// The response's; its body is read and written so.
    Final(Decoder, Encoder),
    /// The connection is a tunnel.
    Tunnel,
}

impl Reply {
    /// Bytes of the request's body were taken.
    pub fn sent(&mut self, data: &[u8]) {
        self.waits = false;
        if let Some(counter) = &self.counter {
            counter.took(data);
        }
    }

    /// The request's trailers were taken.
    pub fn sent_trailers(&self) {
        if let Some(counter) = &self.counter {
            counter.trailers();
        }
    }

    /// Bytes of the response's body were taken.
    pub fn received(&mut self, data: &[u8]) {
        self.exchange.relayed(data);
    }

    /// The response was relayed to its end.
    pub fn done(&mut self) {
        self.exchange.end(Outcome::Done);
    }

    /// The response's trailers on their way.
    pub fn trailers(&mut self, fields: &mut Fields) {
        self.exchange.trailers(fields);
        trace::trailed(&self.traced, fields);
        trailers::strip_response(fields);
    }

    /// Writes one head for the caller.
    ///
    /// # Errors
    /// `Protocol`, when it must not be relayed.
    pub fn head(
        &mut self,
        wires: &mut Wires,
        head: &parse::Response,
        request_done: bool,
    ) -> Result<Head, Fault> {
        let fields = &mut wires.fields;
        if head.status < 200 && head.status != 101 {
            if self.interim == MOST {
                return Err(Fault::Protocol);
            }
            self.interim(head, fields, &mut wires.output.bytes);
            return Ok(Head::Interim);
        }
        let coding = framing::coding(fields);
        if head.http10 && coding != Coding::None {
            return Err(Fault::Protocol);
        }
        self.keep_up = keeps(fields, head.http10);
        let switched = pipeline::response(
            head.status,
            fields,
            &self.traced,
            Version::Http1,
            &mut self.exchange,
        )
        .map_err(|_| Fault::Protocol)?;
        let tunnel = match (&self.wanted, head.status) {
            (Wanted::Upgrade(_), 101) => {
                let Upgrade::To(protocol) = switched else {
                    return Err(Fault::Protocol);
                };
                hop::ask(fields, protocol);
                true
            }
            (_, 101) => return Err(Fault::Protocol),
            (Wanted::Connect, 200..=299) => true,
            _ => false,
        };
        let out = &mut wires.output.bytes;
        if tunnel {
            // Bytes of the request must not become the tunnel's.
            if !request_done || wires.to_up.pending() > 0 {
                return Err(Fault::Protocol);
            }
            fields.remove(&header::CONTENT_LENGTH);
            self.line(head, out);
            fields.write(out);
            out.extend_from_slice(b"\r\n");
            return Ok(Head::Tunnel);
        }
        self.plain(head, coding, fields, request_done, out)
    }

    fn plain(
        &mut self,
        head: &parse::Response,
        coding: Coding,
        fields: &mut Fields,
        request_done: bool,
        out: &mut Vec<u8>,
    ) -> Result<Head, Fault> {
        let told = framing::response_length(fields, coding).map_err(|_| Fault::Protocol)?;
        let length = match head.status {
            204 | 304 => Length::None,
            _ if self.to_head => Length::None,
            _ => told,
        };
        if head.status == 204 {
            fields.remove(&header::CONTENT_LENGTH);
        }
        self.keep_up &= length != Length::Close;
        let open_ended = matches!(length, Length::Chunked | Length::Close);
        let chunked = open_ended && !self.http10;
        let stays = !self.finishing.get()
            && matches!(self.wanted, Wanted::Response)
            && !(open_ended && self.http10)
            && (request_done || !self.waits);
        self.keep &= stays;
        self.line(head, out);
        fields.write(out);
        if chunked || (self.to_head && told == Length::Chunked && !self.http10) {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !self.keep {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let encoder = if chunked {
            Encoder::Chunked
        } else {
            Encoder::Plain
        };
        Ok(Head::Final(Decoder::new(length), encoder))
    }

    /// Interim responses go to callers that know them.
    fn interim(&mut self, head: &parse::Response, fields: &mut Fields, out: &mut Vec<u8>) {
        self.interim += 1;
        self.exchange.interim(head.status);
        if head.status == 100 {
            self.waits = false;
        }
        if self.http10 {
            return;
        }
        pipeline::interim(fields, &self.traced);
        self.line(head, out);
        fields.write(out);
        out.extend_from_slice(b"\r\n");
    }

    fn line(&self, head: &parse::Response, out: &mut Vec<u8>) {
        status_line(self.http10, head.status, &head.reason, out);
    }
}

/// Writes a response's first line.
pub fn status_line(http10: bool, status: u16, reason: &str, out: &mut Vec<u8>) {
    let version: &[u8] = if http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    out.extend_from_slice(version);
    for place in [100, 10, 1] {
        let digit = u8::try_from(status / place % 10).unwrap_or_default();
        out.push(b'0' + digit);
    }
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Whether a connection may carry another message after this one (RFC 9112, section 9.3).
pub fn keeps(fields: &Fields, http10: bool) -> bool {
    const CONNECTION: HeaderName = header::CONNECTION;
    let says = |token| {
        fields
            .lines(&CONNECTION)
            .any(|value| has_token(value, token))
    };
    if http10 {
        says("keep-alive") && !says("close")
    } else {
        !says("close")
    }
}

//! Answers made here, written by the relay.

use super::Wires;
use super::reply::status_line;
use crate::metrics::labels::RequestRefusal;
use crate::proxy::connection::Connection;
use crate::proxy::exchange::Exchange;
use crate::proxy::refuse;
use crate::span::record::Fault;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug)]
pub struct To {
    /// The caller speaks HTTP/1.0.
    pub http10: bool,
    /// It asked in gRPC.
    pub grpc: bool,
    /// The method is HEAD.
    pub head: bool,
    /// The connection ends with the answer.
    pub close: bool,
}

/// Answers a request that isn't forwarded, or whose upstream failed.
pub fn answer(wires: &mut Wires, fault: Fault, to: To, exchange: &mut Exchange) {
    let response = refuse::answer(fault, to.grpc, refuse::text(fault));
    exchange.answered(response.status().as_u16(), response.headers());
    write(&response, to, &mut wires.output.bytes);
}

/// Answers bytes that are no request; that is counted.
pub fn unread(connection: &Connection, wires: &mut Wires, fault: Fault) {
    let reason = match fault {
        Fault::HeadTooLarge => RequestRefusal::HeadTooLarge,
        _ => RequestRefusal::BadRequest,
    };
    connection.slot.counters().request_refused(reason);
    let to = To {
        http10: false,
        grpc: false,
        head: false,
        close: true,
    };
    let response = refuse::answer(fault, false, refuse::text(fault));
    write(&response, to, &mut wires.output.bytes);
}

fn write(response: &http::Response<Option<bytes::Bytes>>, to: To, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    status_line(to.http10, status.as_u16(), reason, out);
    let mut line = |name: &str, value: &[u8]| {
        for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(piece);
        }
    };
    for (name, value) in response.headers() {
        line(name.as_str(), value.as_bytes());
    }
    let body = response.body().as_deref().unwrap_or_default();
    line("content-length", body.len().to_string().as_bytes());
    if to.close {
        line("connection", b"close");
    } else if to.http10 {
        line("connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    if !to.head {
        out.extend_from_slice(body);
    }
}

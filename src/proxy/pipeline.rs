//! What is done to every head, whichever engine read it: strip → judge → decide → inject on the
//! way in, settle → strip on the way back.

use std::rc::Rc;

use http::Method;
use http::header::{self, HeaderValue};

use super::connection::Connection;
use super::exchange::Exchange;
use super::framing::{self, Ambiguous};
use super::head::{Head, Line};
use super::hop::{self, Upgrade};
use super::identity;
use super::judged::Judged;
use super::listener::Listener;
use super::settings::Propagate;
use super::target;
use super::trace::{self, Traced};
use super::upstream::{Upstream, Version as Spoken};
use crate::context::traceparent::TraceParent;
use crate::span::record::Fault;

/// What the caller wants the exchange to become.
pub enum Wanted {
    /// An answer.
    Response,
    /// A tunnel of another protocol.
    Upgrade(HeaderValue),
    /// A tunnel to an authority.
    Connect,
}

/// A request that goes on.
pub struct Passed {
    /// What it asks for.
    pub wanted: Wanted,
    /// What was decided about its context.
    pub traced: Traced,
    /// Where it goes.
    pub upstream: Rc<Upstream>,
}

/// strip → judge → decide → inject: the fields are then as the upstream gets them, but for
/// framing and the form of the target. Refusals are counted; they are judged and decided, too.
pub fn request(
    connection: &Connection,
    listener: &Listener,
    line: Line<'_>,
    headers: &mut impl Head,
    exchange: &mut Exchange,
) -> Result<Passed, Fault> {
    observed(connection, listener, line, headers, exchange, |_| {})
}

/// [`request`], and `observe` is shown what was found and decided on the way.
pub fn observed(
    connection: &Connection,
    listener: &Listener,
    line: Line<'_>,
    headers: &mut impl Head,
    exchange: &mut Exchange,
    observe: impl FnOnce(&Judged),
) -> Result<Passed, Fault> {
    exchange.identify(connection, listener, line, headers);
    let admitted = admit(connection, listener, line, headers, exchange.destination());
    let traced = trace::judge(
        connection,
        listener,
        line,
        headers,
        exchange,
        admitted.is_ok(),
        observe,
    );
    exchange.log(connection, listener, line, headers);
    let (wanted, upstream) = admitted.inspect_err(|fault| exchange.count_refusal(*fault))?;
    let settings = &listener.settings;
    connection.teller.tell(
        line,
        headers,
        settings.forwarded,
        settings.direction,
        traced.trust,
    );
    if let Wanted::Upgrade(protocol) = &wanted {
        hop::ask(headers, protocol.clone());
    }
    Ok(Passed {
        wanted,
        traced,
        upstream,
    })
}

/// An attempt failed with `fault` and the request is sent anew: the context of the next one, if it
/// is to be said on the head.
pub fn next_attempt(
    exchange: &mut Exchange,
    listener: &Listener,
    fault: Fault,
) -> Option<TraceParent> {
    let context = exchange.resend(fault);
    context.filter(|_| listener.settings.propagate != Propagate::None)
}

/// The same, and the fields say so.
pub fn resend(
    connection: &Connection,
    listener: &Listener,
    headers: &mut impl Head,
    fault: Fault,
    exchange: &mut Exchange,
) {
    if let Some(context) = next_attempt(exchange, listener, fault) {
        trace::write(
            connection,
            headers,
            &context,
            &listener.settings.propagation,
        );
    }
}

/// Whether the caller may ask, what for, and by which way it goes: as somebody or as nobody.
fn admit(
    connection: &Connection,
    listener: &Listener,
    line: Line<'_>,
    headers: &mut impl Head,
    to: u16,
) -> Result<(Wanted, Rc<Upstream>), Fault> {
    let caller = &connection.caller;
    caller.admit(listener)?;
    let wanted = clean(line, headers, listener, connection.http2)?;
    let presents = identity::establish(caller, listener, &wanted, headers)?;
    let way = listener.way(to, presents).ok_or(Fault::Internal)?;
    Ok((wanted, connection.own.way(listener, way)))
}

/// Takes hop-by-hop fields off and checks that head and target can be forwarded.
fn clean(
    line: Line<'_>,
    headers: &mut impl Head,
    listener: &Listener,
    http2: bool,
) -> Result<Wanted, Fault> {
    let connect = *line.method == Method::CONNECT;
    if connect && !listener.settings.allow_connect {
        return Err(Fault::MethodNotAllowed);
    }
    // An engine may count fields of HTTP/1 only; bytes it counts of both.
    if headers.count() > listener.settings.limits.max_headers {
        return Err(Fault::HeadTooLarge);
    }
    let look = hop::look(headers);
    framing::check_request(headers, look.plain).map_err(|_| Fault::BadRequest)?;
    // It has none (RFC 9110, section 9.3.6): an upstream that waits for one would find it in
    // whatever comes next on the connection.
    if connect && headers.has(&header::CONTENT_LENGTH) {
        return Err(Fault::BadRequest);
    }
    target::normalise(line, headers).map_err(|_| Fault::BadTarget)?;
    Ok(
        match hop::strip_request(
            headers,
            look,
            !http2 && line.version == http::Version::HTTP_11,
        ) {
            _ if connect => Wanted::Connect,
            Upgrade::To(protocol) => Wanted::Upgrade(protocol),
            Upgrade::None => Wanted::Response,
        },
    )
}

/// An interim answer's head, on its way to the caller: it has no body, whatever it says.
pub fn interim(headers: &mut impl Head, traced: &Traced) {
    let look = hop::look(headers);
    hop::strip_response(headers, look);
    headers.remove(&header::CONTENT_LENGTH);
    trace::answered(traced, headers);
}

/// An answer's head, on its way to the caller; says whether it switches protocols.
///
/// # Errors
/// When its length can be read in more than one way: it must not be relayed.
pub fn response(
    status: u16,
    headers: &mut impl Head,
    traced: &Traced,
    spoken: Spoken,
    exchange: &mut Exchange,
) -> Result<Upgrade, Ambiguous> {
    let look = hop::look(headers);
    let settled = framing::settle_response(headers, look.plain);
    let switched = hop::strip_response(headers, look);
    trace::answered(traced, headers);
    if let Some(told) = &traced.told {
        told.tell(headers);
    }
    exchange.answered(status, headers);
    exchange.spoke(spoken.into());
    settled.map(|()| switched)
}

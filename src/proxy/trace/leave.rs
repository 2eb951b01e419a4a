//! What leaves: other context is taken off, ours is put on, last of all.

use http::HeaderName;

use super::TRACESTATE;
use crate::context::baggage::Verdict;
use crate::context::extract::Inbound;
use crate::context::formats::Format;
use crate::context::propagation::Propagation;
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::Outgoing;
use crate::context::trust::Trust;
use crate::proxy::connection::Connection;
use crate::proxy::head::Head;
use crate::proxy::listener::Listener;
use crate::proxy::settings::Propagate;

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Removes context: all of it, unless the caller is trusted and brought none that is broken; then
/// what is read ends here, and what is written goes before it is said anew.
///
/// `leaving` is what becomes of `tracestate` if a context leaves at all.
pub fn strip(
    headers: &mut impl Head,
    trust: Trust,
    inbound: Inbound,
    listener: &Listener,
    leaving: Option<&Outgoing>,
) {
    let settings = &listener.settings;
    let restarted = matches!(inbound, Inbound::Invalid(_));
    if settings.propagate == Propagate::None || restarted || trust != Trust::Full {
        headers.remove_if(|name| settings.stripper.is_context(name));
        return;
    }
    let propagation = &settings.propagation;
    // Left for `inject`: replaced where it stands, or kept as it came.
    let w3c = leaving.filter(|_| propagation.injects(Format::TraceContext));
    let (parent, state) = (w3c.is_some(), matches!(w3c, Some(Outgoing::Keep)));
    headers.remove_if(|name| match name {
        "traceparent" => !parent,
        "tracestate" => !state,
        _ => !propagation.passes(name),
    });
    if matches!(Verdict::of(headers.lines(&BAGGAGE)), Verdict::Invalid(_)) {
        headers.remove(&BAGGAGE);
    }
}

/// Puts our own context on the request, last of all, in every format that is written.
pub fn inject(
    connection: &Connection,
    headers: &mut impl Head,
    context: &TraceParent,
    state: &Outgoing,
    propagation: &Propagation,
) {
    write(connection, headers, context, propagation);
    if let Some(state) = state.value()
        && propagation.injects(Format::TraceContext)
        && let Some(value) = connection
            .worker
            .values
            .borrow_mut()
            .header(state.as_bytes())
    {
        headers.set(TRACESTATE, value);
    }
}

/// Says a context in every format that is written, in the place of what they said before.
pub fn write(
    connection: &Connection,
    headers: &mut impl Head,
    context: &TraceParent,
    propagation: &Propagation,
) {
    let mut values = connection.worker.values.borrow_mut();
    for format in propagation.inject() {
        format.write(context, &mut |name, value| {
            if let Some(mut value) = values.header(value) {
                // Never the same twice: HTTP/2's compression tables have nothing to gain from it.
                value.set_sensitive(true);
                headers.set(name, value);
            }
        });
    }
}

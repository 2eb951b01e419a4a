//! When a request is put down, and when one is looked for.

use super::{Found, Handed, fields};
use crate::context::extract::Inbound;
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::Outgoing;
use crate::context::trust::Trust;
use crate::metrics::labels::Correlation;
use crate::proxy::connection::Connection;
use crate::proxy::exchange::Exchange;
use crate::proxy::head::Head;
use crate::proxy::listener::Listener;
use crate::span::record::Direction;

/// What an egress request belongs to by a field the component copied, if it brought no context
/// itself and may continue one.
pub fn joined(
    connection: &Connection,
    listener: &Listener,
    trust: Trust,
    inbound: Inbound,
    headers: &impl Head,
) -> Option<Handed> {
    let settings = &listener.settings;
    let listed = &settings.correlate_by;
    let alone = inbound == Inbound::Absent && trust != Trust::Drop;
    if listed.is_empty() || settings.direction != Direction::Egress || !alone {
        return None;
    }
    let found = fields::find(&connection.worker.correlation, listed, headers)?;
    listener.counters.correlated(match &found {
        Found::One(_) => Correlation::Hit,
        Found::Nothing => Correlation::Miss,
        Found::Ambiguous => Correlation::Ambiguous,
    });
    match found {
        Found::One(handed) => Some(handed),
        Found::Nothing | Found::Ambiguous => None,
    }
}

/// Lets what the component asks of others be joined to an ingress request until that ends.
///
/// `context` and `state` are what is handed on, whether or not the component gets to see it.
pub fn enter(
    connection: &Connection,
    listener: &Listener,
    headers: &impl Head,
    exchange: &mut Exchange,
    context: Option<TraceParent>,
    state: &Outgoing,
) {
    let settings = &listener.settings;
    let (listed, open) = (&settings.correlate_by, &connection.worker.correlation);
    if listed.is_empty() || settings.direction != Direction::Ingress {
        return;
    }
    if !fields::enter(open, &mut exchange.entered, listed, headers, context, state) {
        listener.counters.correlated(Correlation::Full);
    }
}

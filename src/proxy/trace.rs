//! Trace context on its way through: strip, judge, decide, inject.

use std::net::IpAddr;
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};

use super::connection::Connection;
use super::exchange::Exchange;
use super::head::Head;
use super::listener::Listener;
use super::settings::{Orphans, Propagate};
use crate::context::baggage;
use crate::context::extract::Inbound;
use crate::context::ids::Flags;
use crate::context::ot::Ot;
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::TraceState;
use crate::context::trust::Trust;
use crate::context::untrusted;
use crate::metrics::labels::Decision as Counted;
use crate::sample::rules::RequestView;
use crate::sample::sampler::{Decision, Parent, Reason};
use crate::sample::settings::UnsampledRoot;
use crate::span::record::{Direction, Outcome, Record, text};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

//! The response field that tells trusted callers the trace id.

use std::rc::Rc;

use http::header::{HeaderName, HeaderValue};

use super::head::Head;
use super::listener::Listener;
use crate::context::ids::TraceId;

/// What one request's caller is told.
#[derive(Clone, Debug)]
pub struct Told {
    name: Rc<HeaderName>,
    id: Option<TraceId>,
}

impl Told {
    /// Nothing so far; `None` if the listener tells nobody. Boxed, so that the requests of all the
    /// other listeners, which carry it about, aren't larger for it.
    pub fn nothing(listener: &Listener) -> Option<Box<Self>> {
        let name = Rc::clone(listener.trace_id_header.as_ref()?);
        Some(Box::new(Self { name, id: None }))
    }

    /// The caller may know the id of the context that goes on, sampled or not.
    pub const fn learn(&mut self, id: TraceId) {
        self.id = Some(id);
    }

    /// The upstream's own field of that name reaches nobody.
    pub fn strip(&self, headers: &mut impl Head) {
        headers.remove(&self.name);
    }

    /// Tells, in the head of the answer: 32 lower-case hexadecimal digits.
    pub fn tell(&self, headers: &mut impl Head) {
        let value = self.id.map(|id| HeaderValue::try_from(id.to_string()));
        if let Some(Ok(value)) = value {
            headers.set(HeaderName::clone(&self.name), value);
        }
    }
}

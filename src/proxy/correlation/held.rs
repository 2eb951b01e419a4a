//! A worker's access to the table, and the keys one request holds.

use std::cell::RefCell;
use std::sync::Arc;

use http::HeaderName;

use super::fields::MOST_FIELDS;
use super::{Found, Hold, Table};

/// The most keys of one request; of values beyond them nothing is known.
const MOST_HOLDS: usize = 2 * MOST_FIELDS;

/// The most unused places kept for later requests.
const MOST_SPARE: usize = 1024;

/// One worker's access to the table.
#[derive(Default)]
pub struct Correlation {
    /// `None`: there are no other requests, nothing is ever found.
    table: Option<Arc<Table>>,
    /// Places of requests that have ended, so that no request needs to allocate one.
    spare: RefCell<Vec<Held>>,
}

/// The keys one request holds; to be given back by [`Correlation::release`]. Small where it
/// isn't used: there is one per open stream.
#[must_use = "the keys stay open until they are released"]
pub struct Held(Box<[Option<Hold>; MOST_HOLDS]>);

impl Correlation {
    /// Access to the table that all workers share.
    pub fn new(table: Arc<Table>) -> Self {
        Self {
            table: Some(table),
            spare: RefCell::default(),
        }
    }

    /// What was handed on with this value.
    pub fn find(&self, name: &HeaderName, value: &[u8]) -> Found {
        let table = self.table.as_ref();
        table.map_or(Found::Nothing, |table| table.find(name, value))
    }

    /// Puts down what is to be found under a field's value, among what the request holds already;
    /// says whether there was a place.
    pub fn hold(
        &self,
        held: &mut Option<Held>,
        name: &HeaderName,
        value: &[u8],
        found: Found,
    ) -> bool {
        let Some(table) = &self.table else {
            return true;
        };
        let Held(holds) = held.get_or_insert_with(|| {
            let spare = self.spare.borrow_mut().pop();
            spare.unwrap_or_else(|| Held(Box::default()))
        });
        let Some(place) = holds.iter_mut().find(|hold| hold.is_none()) else {
            return false;
        };
        place.insert(table.hold(name, value, found)).is_kept()
    }

    /// The request has ended.
    pub fn release(&self, mut held: Held) {
        if let Some(table) = &self.table {
            let holds = held.0.iter_mut().filter_map(Option::take);
            holds.for_each(|hold| table.release(hold));
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(held);
        }
    }

    #[cfg(test)]
    pub(super) fn spare(&self) -> usize {
        self.spare.borrow().len()
    }
}

//! Joins what a component asks of others to what it was asked, by a header field it copies though
//! it copies no trace context (`propagation.correlateBy`).
//!
//! While a request of an ingress listener is open, what was handed on is found under a keyed hash
//! of each listed field it carries; a request of an egress listener that brings no context takes
//! what it finds for its parent. Callers choose such values, so a key that is open twice is
//! nobody's: nothing is guessed, and whoever repeats another's value gains no more than that the
//! other isn't joined. Workers share the table, for the two requests may come to different ones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderName;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::context::extract::Context;
use crate::context::formats::Format;
use crate::context::ot::{Ot, OtText};
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::{Outgoing, TraceState};

pub mod fields;
pub mod held;
pub mod join;

const SHARDS: usize = 64;

/// Keys in a shard; the table holds at most [`SHARDS`] times as many.
const MOST_KEYS: usize = 1024;

/// Counters of a shard for requests it has no place for.
const TURNED_AWAY: usize = 64;

/// What an ingress request handed to the component.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The context: the trace, the ingress request's span and its flags.
    pub context: TraceParent,
    /// The `tracestate` that went along.
    pub state: State,
}

/// A `tracestate` that went along.
#[derive(Clone, Debug)]
pub enum State {
    /// None.
    Absent,
    /// OpenTelemetry's member alone.
    Ours(OtText),
    /// One with members of others.
    Text(Arc<str>),
}

/// What there is under a key.
#[derive(Clone, Debug)]
pub enum Found {
    /// No open request has it, or the one that has it was handed on without a context.
    Nothing,
    /// One open request has it.
    One(Handed),
    /// It can't be said which request is meant.
    Ambiguous,
}

/// What was handed on with open requests, by key. Shared by all workers.
///
/// A shard's lock is held for one look at its map and never while a task waits; nobody takes it
/// unless the configuration lists fields and a request carries one.
pub struct Table {
    hash: SipHasher24,
    shards: [Shard; SHARDS],
}

/// Aligned, so that workers who hold the locks of two shards don't share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Open>);

struct Open {
    keys: HashMap<u128, Holders, BuildHasherDefault<Hashed>>,
    /// Requests for which there was no place, by some bits of their keys: whatever is looked up
    /// there could be theirs.
    turned_away: [u32; TURNED_AWAY],
}

impl Default for Open {
    fn default() -> Self {
        Self {
            keys: HashMap::default(),
            turned_away: [0; TURNED_AWAY],
        }
    }
}

/// The open requests of one key.
struct Holders {
    count: u32,
    found: Found,
}

/// One request's hold on one key; to be given back by [`Table::release`].
#[derive(Debug)]
#[must_use = "the key stays open until it is released"]
pub struct Hold {
    key: u128,
    kept: bool,
}

impl Table {
    /// An empty table. `key` must be random: whoever foresees hashes could fill one shard.
    pub fn new(key: [u8; 16]) -> Self {
        Self {
            hash: SipHasher24::new_with_key(&key),
            shards: std::array::from_fn(|_| Shard::default()),
        }
    }

    /// Puts down what is to be found under a field's value, as long as nobody else has it.
    /// Release it when the request has ended.
    pub fn hold(&self, name: &HeaderName, value: &[u8], found: Found) -> Hold {
        let key = self.key(name, value);
        let mut open = self.open(key);
        let full = open.keys.len() >= MOST_KEYS;
        let kept = match open.keys.entry(key) {
            Entry::Occupied(entry) => {
                let holders = entry.into_mut();
                holders.count += 1;
                holders.found = Found::Ambiguous;
                true
            }
            Entry::Vacant(_) if full => false,
            Entry::Vacant(entry) => {
                entry.insert(Holders { count: 1, found });
                true
            }
        };
        if !kept {
            *open.turned_away(key) += 1;
        }
        Hold { key, kept }
    }

    /// What was handed on with this value.
    pub fn find(&self, name: &HeaderName, value: &[u8]) -> Found {
        let key = self.key(name, value);
        let mut open = self.open(key);
        if *open.turned_away(key) > 0 {
            return Found::Ambiguous;
        }
        let holders = open.keys.get(&key);
        holders.map_or(Found::Nothing, |holders| holders.found.clone())
    }

    /// The request has ended. A key that was open twice is nobody's until all who have it ended.
    pub fn release(&self, hold: Hold) {
        let mut open = self.open(hold.key);
        if !hold.kept {
            let count = open.turned_away(hold.key);
            *count = count.saturating_sub(1);
        } else if let Entry::Occupied(mut entry) = open.keys.entry(hold.key) {
            let holders = entry.get_mut();
            holders.count = holders.count.saturating_sub(1);
            if holders.count == 0 {
                entry.remove();
            }
        }
    }

    /// A value is hashed with its field's name: the same value of another field is another key.
    fn key(&self, name: &HeaderName, value: &[u8]) -> u128 {
        let mut hash = self.hash;
        hash.write(name.as_str().as_bytes());
        // No name has it.
        hash.write_u8(b':');
        hash.write(value);
        hash.finish128().as_u128()
    }

    fn open(&self, key: u128) -> MutexGuard<'_, Open> {
        // The remainder is in range.
        let Shard(open) = &self.shards[key as usize % SHARDS];
        // Nothing is left half done by whoever panicked.
        open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn turned_away(&mut self, key: u128) -> &mut u32 {
        // The remainder is in range. Not the bits that chose the shard.
        &mut self.turned_away[(key >> 32) as usize % TURNED_AWAY]
    }
}

impl Hold {
    /// Whether there was a place for it.
    pub const fn is_kept(&self) -> bool {
        self.kept
    }
}

impl Handed {
    /// The context as if the component had sent it.
    pub const fn context(&self) -> Context {
        Context {
            parent: self.context,
            deferred: false,
            format: Format::TraceContext,
        }
    }

    /// The `tracestate` as if the component had sent it.
    pub fn state(&self) -> Option<TraceState<'_>> {
        TraceState::parse([self.state.as_str()?.as_bytes()]).ok()
    }

    /// What goes on of it if `th` and `rv` are to be these.
    pub fn outgoing(&self, ot: Ot) -> Outgoing {
        match self.state().map(|state| state.outgoing(ot)) {
            None => Outgoing::fresh(ot),
            // The request has none that could stay.
            Some(Outgoing::Keep) => match &self.state {
                State::Absent => Outgoing::Remove,
                State::Ours(text) => Outgoing::Ours(*text),
                State::Text(text) => Outgoing::Combined(text.to_string()),
            },
            Some(change) => change,
        }
    }
}

impl State {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Ours(text) => Some(text.as_str()),
            Self::Text(text) => Some(text),
        }
    }
}

/// Hashes keys that are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        // Not the bits that chose the shard.
        self.0 = (key >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;

//! The `tracestate` fields (W3C Trace Context Level 2, section 3.3).
//!
//! Read into slices of the request, written only when OpenTelemetry's member changes: a request
//! without `tracestate`, or with one that stays as it is, allocates nothing.

use std::fmt;

use super::ot::{Ot, OtMember, OtText};

/// Most members a list may have; empty ones don't count.
pub const MAX_MEMBERS: usize = 32;
/// What a rewritten list is cut to, in bytes, by whole members.
pub const MAX_LEN: usize = 512;
/// Members longer than this, in bytes, are the first to go.
const LONG_MEMBER: usize = 128;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 256;
const OT: &str = "ot";

/// Why the lists of a request are dropped. The caller is at fault; its `traceparent` stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Invalid {
    /// More than [`MAX_MEMBERS`].
    TooManyMembers,
    /// A member without `=`, or a key with characters or a length that isn't allowed.
    Key,
    /// A value with characters or a length that isn't allowed.
    Value,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyMembers => "expected at most 32 members, more came",
            Self::Key => "expected a key of 1 to 256 of a-z 0-9 _ - * / @ before an equals sign",
            Self::Value => "expected a value of 1 to 256 printable characters but , and =",
        })
    }
}

impl std::error::Error for Invalid {}

/// The members of all `tracestate` fields of one request, in order.
#[derive(Clone, Debug)]
pub struct TraceState<'a> {
    /// `key=value`, trimmed; the first `len` count.
    members: [&'a str; MAX_MEMBERS],
    len: usize,
    /// The first member with the key `ot`.
    ot: Option<OtMember<'a>>,
    /// Whether the member was there and is to be forgotten.
    forgotten: bool,
}

/// What to do with the `tracestate` fields of a request.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Leave them as they came.
    Keep,
    /// Remove them all.
    Remove,
    /// Replace them with this one.
    Ours(OtText),
    /// Replace them with this one.
    Combined(String),
}

impl Outgoing {
    /// For a request whose `tracestate` was dropped or wasn't there.
    pub fn fresh(ot: Ot) -> Self {
        if ot.is_empty() {
            Self::Remove
        } else {
            Self::Ours(ot.text())
        }
    }

    /// The value to write, if there is one.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Keep | Self::Remove => None,
            Self::Ours(text) => Some(text.as_str()),
            Self::Combined(text) => Some(text),
        }
    }
}

impl<'a> TraceState<'a> {
    /// Combines the values of all fields, in order.
    ///
    /// Only to be asked if the request has a valid `traceparent`; without one `tracestate` means
    /// nothing and is removed.
    ///
    /// # Errors
    /// If any member breaks a rule; then all are to be removed ([`Outgoing::fresh`]).
    pub fn parse(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Invalid> {
        let mut members = [""; MAX_MEMBERS];
        let mut len = 0;
        let mut ot = None;
        for member in values
            .into_iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
        {
            let member = trim(member);
            if member.is_empty() {
                continue;
            }
            let (member, key, value) = check(member)?;
            *members.get_mut(len).ok_or(Invalid::TooManyMembers)? = member;
            len += 1;
            if key == OT && ot.is_none() {
                ot = Some(OtMember::parse(value));
            }
        }
        Ok(Self {
            members,
            len,
            ot,
            forgotten: false,
        })
    }

    /// `th` and `rv` of OpenTelemetry's member.
    pub fn ot(&self) -> Ot {
        self.ot.map_or(Ot::NONE, |member| member.ot)
    }

    /// Forgets OpenTelemetry's member with all its sub-keys: what callers bring whose sampling
    /// isn't trusted.
    #[must_use]
    pub fn without_ot(mut self) -> Self {
        self.forgotten |= self.ot.take().is_some();
        self
    }

    /// What goes on if `th` and `rv` are to be these.
    ///
    /// A changed member moves to the left; the others keep their order. Lists that grow too long
    /// lose members over 128 bytes first, then from the end; ours never goes.
    pub fn outgoing(&self, ot: Ot) -> Outgoing {
        let malformed = self.ot.is_some_and(|member| member.malformed);
        if !self.forgotten && !malformed && ot == self.ot() {
            return Outgoing::Keep;
        }
        let others = self.members().filter(|member| !is_ot(member));
        let has_more = self
            .ot
            .is_some_and(|member| member.others().next().is_some());
        if !has_more && others.clone().next().is_none() {
            return Outgoing::fresh(ot);
        }
        let mut out = String::with_capacity(MAX_LEN);
        match &self.ot {
            Some(member) => member.write(ot, &mut out),
            None => out.push_str(ot.text().as_str()),
        }
        append(others, &mut out);
        Outgoing::Combined(out)
    }

    fn members(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.members.into_iter().take(self.len)
    }
}

/// Appends as many members as may stand beside what is there.
fn append<'a>(members: impl Iterator<Item = &'a str>, out: &mut String) {
    let mut kept: Vec<_> = members.collect();
    let ours = usize::from(!out.is_empty());
    // One byte per member for the comma behind it, which the last one doesn't have.
    let mut total = out.len() + ours + kept.iter().map(|member| member.len() + 1).sum::<usize>();
    for place in (0..kept.len()).rev() {
        let is_long = kept
            .get(place)
            .is_some_and(|member| member.len() > LONG_MEMBER);
        if is_long && total > MAX_LEN + 1 {
            total -= kept.remove(place).len() + 1;
        }
    }
    while total > MAX_LEN + 1 || kept.len() + ours > MAX_MEMBERS {
        let Some(last) = kept.pop() else { break };
        total -= last.len() + 1;
    }
    for member in kept {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(member);
    }
}

fn is_ot(member: &str) -> bool {
    member.split_once('=').is_some_and(|(key, _)| key == OT)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The member whole, its key and its value.
fn check(member: &[u8]) -> Result<(&str, &str, &str), Invalid> {
    // Printable ASCII is text.
    let member = str::from_utf8(member).map_err(|_| Invalid::Value)?;
    let (key, value) = member.split_once('=').ok_or(Invalid::Key)?;
    let first = key
        .bytes()
        .next()
        .is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let rest = key
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'));
    if !first || !rest || key.len() > MAX_KEY {
        return Err(Invalid::Key);
    }
    let printable = value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'=');
    if !printable || value.is_empty() || value.len() > MAX_VALUE {
        return Err(Invalid::Value);
    }
    Ok((member, key, value))
}

#[cfg(test)]
mod tests;

//! A small view of a message's head, so that the pipeline is written once for every engine.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri, Version};

/// A request's first line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Method.
    pub method: &'a Method,
    /// Target.
    pub uri: &'a Uri,
    /// Version the caller speaks.
    pub version: Version,
}

impl<'a> Line<'a> {
    /// The first line and the fields of a head as the engine hands it over.
    pub const fn split(parts: &'a mut Parts) -> (Self, &'a mut HeaderMap) {
        let line = Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
        };
        (line, &mut parts.headers)
    }

    /// Whom a request is for: HTTP/2's `:authority`, else `Host`, after
    /// [`target::normalise`](super::target::normalise).
    pub fn host<'h>(&self, headers: &'h impl Head) -> Option<&'h [u8]>
    where
        'a: 'h,
    {
        match self.uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => headers.first(&header::HOST),
        }
    }

    /// Whether a request is gRPC's: POST with its content type.
    pub fn is_grpc(&self, headers: &impl Head) -> bool {
        const TYPE: &[u8] = b"application/grpc";
        *self.method == Method::POST
            && headers
                .first(&header::CONTENT_TYPE)
                .and_then(|value| value.get(..TYPE.len()))
                .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
    }
}

/// What the pipeline reads and changes of a head's fields.
pub trait Head {
    /// Values of one field, in the order they were received.
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]>;

    /// Removes every field whose lower-cased name `f` picks; says how many names went.
    fn remove_if(&mut self, f: impl FnMut(&str) -> bool) -> usize;

    /// Removes one field, all its lines.
    fn remove(&mut self, name: &HeaderName);

    /// Replaces all lines of a field by one.
    fn set(&mut self, name: HeaderName, value: HeaderValue);

    /// Adds a line behind the others.
    fn add(&mut self, name: HeaderName, value: HeaderValue);

    /// How many lines there are.
    fn count(&self) -> usize;

    /// The first value of a field.
    fn first<'a>(&'a self, name: &HeaderName) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// Whether there is such a field.
    fn has(&self, name: &HeaderName) -> bool {
        self.lines(name).next().is_some()
    }
}

impl Head for HeaderMap {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }

    fn remove_if(&mut self, mut f: impl FnMut(&str) -> bool) -> usize {
        // Most requests carry nothing to remove: the list stays empty and unallocated.
        let picked: Vec<HeaderName> = self
            .keys()
            .filter(|name| f(name.as_str()))
            .cloned()
            .collect();
        for name in &picked {
            HeaderMap::remove(self, name);
        }
        picked.len()
    }

    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn first<'a>(&'a self, name: &HeaderName) -> Option<&'a [u8]> {
        self.get(name).map(HeaderValue::as_bytes)
    }

    fn has(&self, name: &HeaderName) -> bool {
        self.contains_key(name)
    }
}

/// Whether a comma-separated field value names `token` (ASCII case-insensitive).
pub fn has_token(value: &[u8], token: &str) -> bool {
    tokens(value).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
}

/// The members of a list whose members may hold quoted strings, trimmed, empty ones left out
/// (RFC 9110, section 5.6.1).
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |byte| {
            match (quoted, escaped, *byte) {
                (true, true, _) => escaped = false,
                (true, false, b'\\') => escaped = true,
                (_, _, b'"') => quoted = !quoted,
                (false, _, b',') => return true,
                _ => {}
            }
            false
        })
        .map(<[u8]>::trim_ascii)
        .filter(|t| !t.is_empty())
}

/// The members of a comma-separated field value, trimmed, empty ones left out.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|t| !t.is_empty())
}

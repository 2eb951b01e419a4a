//! A request's head, put aside in one piece of memory: most are never needed again, so making
//! one must cost less than a copy that could be used at once.

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri, Version};

/// Bytes before a field: the length of its name, that of its value, and whether the value is
/// sensitive.
const PREFIX: usize = 9;

/// A head that can be made anew.
pub struct Saved {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Box<[u8]>,
}

impl Saved {
    /// Puts a head aside; extensions aren't kept.
    pub fn of(head: &Parts) -> Self {
        let headers = &head.headers;
        let size =
            |(name, value): (&HeaderName, &HeaderValue)| PREFIX + name.as_str().len() + value.len();
        let mut fields = Vec::with_capacity(headers.iter().map(size).sum());
        for (name, value) in headers {
            let name = name.as_str().as_bytes();
            fields.extend_from_slice(&length(name));
            fields.extend_from_slice(&length(value.as_bytes()));
            fields.push(u8::from(value.is_sensitive()));
            fields.extend_from_slice(name);
            fields.extend_from_slice(value.as_bytes());
        }
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            fields: fields.into_boxed_slice(),
        }
    }

    /// Its method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The head as it was.
    pub fn restore(&self) -> Parts {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let mut rest = &*self.fields;
        while let Some(after) = field(rest, request.headers_mut()) {
            rest = after;
        }
        request.into_parts().0
    }
}

/// Lengths are bounded by what a head may have, far below four bytes' worth.
fn length(text: &[u8]) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Adds the first field of what was written; what comes behind it.
fn field<'a>(bytes: &'a [u8], headers: &mut HeaderMap) -> Option<&'a [u8]> {
    let (name, bytes) = bytes.split_first_chunk::<4>()?;
    let (value, bytes) = bytes.split_first_chunk::<4>()?;
    let (sensitive, bytes) = bytes.split_first()?;
    let (name, bytes) = bytes.split_at_checked(u32::from_be_bytes(*name) as usize)?;
    let (value, bytes) = bytes.split_at_checked(u32::from_be_bytes(*value) as usize)?;
    if let (Ok(name), Ok(mut value)) =
        (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
    {
        value.set_sensitive(*sensitive == 1);
        headers.append(name, value);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_restored_as_it_was() {
        let mut request = Request::builder()
            .method("PATCH")
            .uri("https://example.com/a?b=c")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("x-empty", "")
            .header("cookie", "b=2")
            .header("x-odd", HeaderValue::from_bytes(b"\xff\t~").unwrap())
            .body(())
            .unwrap();
        let mut secret = HeaderValue::from_static("s");
        secret.set_sensitive(true);
        request.headers_mut().insert("authorization", secret);
        let (head, ()) = request.into_parts();
        let restored = Saved::of(&head).restore();
        assert_eq!(restored.method, head.method);
        assert_eq!(restored.uri, head.uri);
        assert_eq!(restored.version, head.version);
        assert_eq!(restored.headers, head.headers);
        assert!(restored.headers["authorization"].is_sensitive());
        assert!(!restored.headers["cookie"].is_sensitive());
        let (empty, ()) = Request::new(()).into_parts();
        assert!(Saved::of(&empty).restore().headers.is_empty());
    }
}

//! Label values: closed sets, so that the number of series is known when the program is built.

use http::Method;

use crate::context::trust::Trust;

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// Position in [`Label::ALL`].
    fn index(self) -> usize;

    /// The value as it is exposed.
    fn as_str(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Number of values.
            pub const COUNT: usize = [$(Self::$variant),+].len();
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

labels! {
    /// `http.request.method` of the HTTP semantic conventions: the known ones, else `_OTHER`.
    MethodClass {
        /// CONNECT
        Connect = "CONNECT",
        /// DELETE
        Delete = "DELETE",
        /// GET
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// OPTIONS
        Options = "OPTIONS",
        /// PATCH
        Patch = "PATCH",
        /// POST
        Post = "POST",
        /// PUT
        Put = "PUT",
        /// QUERY
        Query = "QUERY",
        /// TRACE
        Trace = "TRACE",
        /// Any other, also a known one in another case: methods are case-sensitive.
        Other = "_OTHER",
    }
}

labels! {
    /// `network.protocol.version`.
    Version {
        /// HTTP/1.0
        Http10 = "1.0",
        /// HTTP/1.1
        Http11 = "1.1",
        /// HTTP/2
        Http2 = "2",
    }
}

labels! {
    /// Why a connection was refused before any request of it was read.
    Refusal {
        /// The listener has as many connections as it may.
        MaxConnections = "max_connections",
        /// The TLS handshake failed.
        TlsHandshake = "tls_handshake",
        /// A PROXY header was malformed, or missing where it is required.
        ProxyProtocol = "proxy_protocol",
        /// What came isn't a protocol this listener speaks.
        Protocol = "protocol",
        /// The caller took too long to show what it speaks.
        Timeout = "timeout",
        /// No worker could take it: the proxy is stopping.
        Draining = "draining",
    }
}

labels! {
    /// Why a request was answered here instead of being forwarded.
    RequestRefusal {
        /// 400: malformed, or framed ambiguously.
        BadRequest = "bad_request",
        /// 400: the target can't be forwarded.
        BadTarget = "bad_target",
        /// 401: a certificate that makes nobody known, and no other credential.
        Unauthorized = "unauthorized",
        /// 403: the certificate a caller must have doesn't verify.
        ClientCertificate = "client_certificate",
        /// 405: CONNECT where it isn't allowed.
        MethodNotAllowed = "method_not_allowed",
        /// 408: the head didn't arrive in time.
        HeaderTimeout = "header_timeout",
        /// 414: the target is too long.
        UriTooLong = "uri_too_long",
        /// 431: the head is too large.
        HeadTooLarge = "head_too_large",
        /// 500: a fault of our own.
        Internal = "internal",
    }
}

labels! {
    /// What the sampler decided.
    Decision {
        /// Recorded and exported.
        Sampled = "sampled",
        /// Not recorded.
        Unsampled = "unsampled",
        /// Would have been sampled, but a cap per second was reached.
        Capped = "capped",
        /// A rule says that such requests get no span.
        Dropped = "dropped",
    }
}

labels! {
    /// What became of an unsampled request that failed or was slow.
    Kept {
        /// It failed, and was exported.
        Error = "error",
        /// It was slow, and was exported.
        Slow = "slow",
        /// There was no room under the cap per second.
        Capped = "capped",
    }
}

labels! {
    /// What became of joining requests by a field the component copies.
    Correlation {
        /// An egress request without a context was joined to the one ingress request found.
        Hit = "hit",
        /// No open ingress request handed a context on with such a value.
        Miss = "miss",
        /// It can't be said which ingress request is meant: none is picked.
        Ambiguous = "ambiguous",
        /// An ingress request that can't be found: there was no place for it.
        Full = "full",
    }
}

impl MethodClass {
    /// The class of a method.
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::CONNECT => Self::Connect,
            Method::DELETE => Self::Delete,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::OPTIONS => Self::Options,
            Method::PATCH => Self::Patch,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::TRACE => Self::Trace,
            Method::QUERY => Self::Query,
            _ => Self::Other,
        }
    }
}

impl Version {
    /// The label of a version; what isn't spoken counts as HTTP/1.1.
    pub const fn of(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_10 => Self::Http10,
            http::Version::HTTP_2 => Self::Http2,
            _ => Self::Http11,
        }
    }
}

impl Label for Trust {
    const ALL: &'static [Self] = &[Self::Drop, Self::Ids, Self::Full];

    fn index(self) -> usize {
        match self {
            Self::Drop => 0,
            Self::Ids => 1,
            Self::Full => 2,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Ids => "ids",
            Self::Full => "full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order<L: Label + PartialEq + std::fmt::Debug>() {
        for (at, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), at, "{label:?}");
        }
    }

    #[test]
    fn every_label_stands_at_its_index() {
        in_order::<MethodClass>();
        in_order::<Version>();
        in_order::<Refusal>();
        in_order::<RequestRefusal>();
        in_order::<Decision>();
        in_order::<Trust>();
    }

    #[test]
    fn unknown_methods_share_one_label() {
        for (method, class) in [
            ("GET", "GET"),
            ("PATCH", "PATCH"),
            ("QUERY", "QUERY"),
            ("get", "_OTHER"),
            ("PROPFIND", "_OTHER"),
            ("X-MINTED-BY-A-CALLER-0001", "_OTHER"),
        ] {
            let parsed = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(MethodClass::of(&parsed).as_str(), class, "{method}");
        }
    }
}

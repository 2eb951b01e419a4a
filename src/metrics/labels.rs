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
        /// TRACE
        Trace = "TRACE",
        /// Any other, also a known one in another case: methods are case-sensitive.
        Other = "_OTHER",
    }
}

labels! {
    /// First digit of the status that was answered.
    StatusClass {
        /// 1xx: the connection became a tunnel.
        Informational = "1xx",
        /// 2xx
        Success = "2xx",
        /// 3xx
        Redirection = "3xx",
        /// 4xx
        ClientError = "4xx",
        /// 5xx
        ServerError = "5xx",
        /// No response was sent, or its status is none HTTP knows.
        None = "none",
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
            _ => Self::Other,
        }
    }
}

impl StatusClass {
    /// The class of a status; `None` if there was no response.
    pub fn of(status: Option<u16>) -> Self {
        match status {
            Some(100..200) => Self::Informational,
            Some(200..300) => Self::Success,
            Some(300..400) => Self::Redirection,
            Some(400..500) => Self::ClientError,
            Some(500..600) => Self::ServerError,
            _ => Self::None,
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
        in_order::<StatusClass>();
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
            ("get", "_OTHER"),
            ("PROPFIND", "_OTHER"),
            ("X-MINTED-BY-A-CALLER-0001", "_OTHER"),
        ] {
            let parsed = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(MethodClass::of(&parsed).as_str(), class, "{method}");
        }
    }

    #[test]
    fn a_status_outside_http_has_no_class() {
        for (status, class) in [
            (Some(101), "1xx"),
            (Some(200), "2xx"),
            (Some(304), "3xx"),
            (Some(499), "4xx"),
            (Some(599), "5xx"),
            (Some(600), "none"),
            (Some(99), "none"),
            (None, "none"),
        ] {
            assert_eq!(StatusClass::of(status).as_str(), class, "{status:?}");
        }
    }
}

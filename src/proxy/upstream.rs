//! One worker's way to one upstream: connections kept, shared and retired.

pub mod attempt;
pub mod connect;
mod endpoints;
pub mod error;
pub mod forward;
pub mod h1;
pub mod h2;
pub mod heard;
mod patience;
pub mod raw;
mod saved;
mod shared;
pub mod via;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Notify;

use self::connect::{Connected, Dialer, HeadLimits, UpstreamTls};
use self::shared::Shared;
use self::via::Via;
use super::settings::{UpstreamProtocol, UpstreamSettings};
use crate::metrics::labels;
use crate::metrics::shard::ListenerShard;
use crate::span::record::Fault;

/// Idle connections kept per worker and upstream, by each engine.
const MAX_IDLE: usize = 256;

/// How long an idle connection is kept. Below the common servers' own limits (nginx 75 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// HTTP's version on a connection to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl From<Version> for labels::Version {
    fn from(spoken: Version) -> Self {
        match spoken {
            Version::Http1 => Self::Http11,
            Version::Http2 => Self::Http2,
        }
    }
}

/// What a request asks of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The version the caller spoke; configuration and ALPN may say otherwise.
    Like(Version),
    /// HTTP/1.1 whatever the caller spoke: upgrades.
    Http1,
}

/// One worker's connections to one upstream.
pub struct Upstream {
    settings: UpstreamSettings,
    authority: HeaderValue,
    dialer: Rc<Dialer>,
    h1: Rc<h1::Pool>,
    h2: Rc<h2::Pool>,
    raw: raw::Pool,
    /// Of callers' connections that have ways of their own.
    twins: RefCell<Vec<Weak<Self>>>,
    /// What ALPN chose last; the next request looks there first.
    learned: Cell<Option<Version>>,
    /// Whoever needs to know it first.
    learning: Shared<Result<Version, Fault>>,
}

/// A connection to send one request on.
pub enum Checkout {
    /// Alone on an HTTP/1.1 connection.
    Http1(h1::Checkout),
    /// A stream of a shared HTTP/2 connection.
    Http2(h2::Slot),
}

/// A hold on a connection while its response is relayed.
pub enum Lease {
    /// Goes back to the pool when the response has ended.
    Http1(Option<h1::Checkout>),
    /// Counts as a stream until dropped.
    Http2 {
        /// The count.
        slot: h2::Slot,
    },
    /// The connection became a tunnel.
    Tunnel,
}

impl Lease {
    /// Whether the request's body broke off because it wasn't HTTP.
    pub fn upload_was_malformed(&self) -> bool {
        matches!(self, Self::Http2 { slot } if slot.upload_was_malformed())
    }

    /// Where the connection leads.
    pub fn via(&self) -> Option<Via> {
        match self {
            Self::Http1(checkout) => checkout.as_ref().map(|checkout| checkout.ear.via()),
            Self::Http2 { slot } => Some(slot.via()),
            Self::Tunnel => None,
        }
    }

    /// The response has been read to its end.
    pub fn give_back(&mut self) {
        if let Self::Http1(checkout) = self
            && let Some(checkout) = checkout.take()
        {
            checkout.give_back();
        }
    }
}

impl Upstream {
    /// Connects to nothing yet.
    pub fn new(
        settings: UpstreamSettings,
        limits: HeadLimits,
        tls: Option<Arc<UpstreamTls>>,
        counters: &Arc<ListenerShard>,
    ) -> Rc<Self> {
        let dialer = Dialer::new(&settings, limits, tls, counters);
        Self::over(dialer, settings, None)
    }

    /// Another way to the same, with connections of its own; `left` is told when the upstream has
    /// taken leave of one over HTTP/2. It is swept with this one.
    pub fn twin(&self, left: &Rc<Notify>) -> Rc<Self> {
        let settings = self.settings.clone();
        let twin = Self::over(Rc::clone(&self.dialer), settings, Some(Rc::clone(left)));
        self.twins.borrow_mut().push(Rc::downgrade(&twin));
        twin
    }

    fn over(dialer: Rc<Dialer>, settings: UpstreamSettings, left: Option<Rc<Notify>>) -> Rc<Self> {
        Rc::new(Self {
            authority: connect::authority(&settings),
            settings,
            h1: h1::Pool::new(),
            h2: h2::Pool::new(Rc::clone(&dialer), left),
            raw: raw::Pool::default(),
            twins: RefCell::default(),
            dialer,
            learned: Cell::new(None),
            learning: Shared::default(),
        })
    }

    /// Whether it is what these settings ask for: then its connections stay.
    pub fn serves(&self, settings: &UpstreamSettings, tls: Option<&Arc<UpstreamTls>>) -> bool {
        let same_tls = match (self.dialer.tls(), tls) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_tls && self.settings == *settings
    }

    /// What replaces `Host`.
    pub fn host(&self) -> Option<&HeaderValue> {
        self.settings.host.as_ref()
    }

    /// The name for requests that name nobody: its own address.
    pub const fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Whether requests go out over TLS.
    pub fn tls(&self) -> bool {
        self.settings.tls.is_some()
    }

    /// The settings this was made from.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// A connection that is there already, without waiting.
    ///
    /// `fresh` refuses HTTP/1.1 connections that were used before.
    pub fn at_hand(&self, need: Need, fresh: bool) -> Option<Checkout> {
        match self.version(need)? {
            Version::Http1 if fresh => None,
            Version::Http1 => self.h1.ready().map(Checkout::Http1),
            Version::Http2 => self.h2.free().map(Checkout::Http2),
        }
    }

    /// A connection for one request, after [`Upstream::at_hand`] had none: waited for or made.
    pub async fn checkout(&self, need: Need, fresh: bool) -> Result<Checkout, Fault> {
        match self.version(need) {
            Some(Version::Http1) => {
                if !fresh && let Some(kept) = self.h1.settled().await {
                    return Ok(Checkout::Http1(kept));
                }
                let connected = self.dialer.dial(Some(Version::Http1)).await?;
                let opened = self.h1.open(&self.dialer, connected).await;
                opened.map(Checkout::Http1)
            }
            Some(Version::Http2) => match self.h2.take().await {
                Ok(stream) => Ok(Checkout::Http2(stream)),
                Err(h2::TakeError::Fault(fault)) => Err(fault),
                Err(h2::TakeError::SpeaksHttp1) => {
                    self.learned.set(Some(Version::Http1));
                    Box::pin(self.checkout(Need::Http1, fresh)).await
                }
            },
            None => {
                let (counters, broken) = (self.dialer.counters(), Err(Fault::Internal));
                let learned = self
                    .learning
                    .join(counters, broken, || self.learn())
                    .await?;
                self.learned.set(Some(learned));
                Box::pin(self.checkout(need, fresh)).await
            }
        }
    }

    /// Forgets connections that have been idle too long.
    pub fn sweep(&self) {
        self.h1.sweep();
        self.h2.sweep();
        self.raw.sweep();
        self.twins.borrow_mut().retain(|twin| {
            let twin = twin.upgrade();
            twin.inspect(|twin| twin.sweep()).is_some()
        });
    }

    /// Whether callers of HTTP/1 are always served over HTTP/1.
    pub fn speaks_http1(&self) -> bool {
        match self.settings.protocol {
            UpstreamProtocol::Http1 => true,
            UpstreamProtocol::Http2 => false,
            UpstreamProtocol::Auto => !self.tls(),
        }
    }

    /// Connections of the relay that wait for a request.
    pub const fn raw(&self) -> &raw::Pool {
        &self.raw
    }

    /// A new connection for the relay.
    pub async fn dial_raw(&self) -> Result<Box<raw::Connection>, Fault> {
        let Connected { io, version, via } = self.dialer.dial(Some(Version::Http1)).await?;
        match version {
            Version::Http1 => Ok(Box::new(raw::Connection { io, via })),
            Version::Http2 => Err(Fault::Protocol),
        }
    }

    /// Bounds on a response's head.
    pub fn head_limits(&self) -> connect::HeadLimits {
        self.dialer.head_limits()
    }

    fn version(&self, need: Need) -> Option<Version> {
        match (need, self.settings.protocol, self.tls()) {
            (Need::Http1, ..) | (_, UpstreamProtocol::Http1, _) => Some(Version::Http1),
            (_, UpstreamProtocol::Http2, _) => Some(Version::Http2),
            (Need::Like(version), UpstreamProtocol::Auto, false) => Some(version),
            (_, UpstreamProtocol::Auto, true) => self.learned.get(),
        }
    }

    /// First connection over TLS with a free choice: ALPN says what is spoken. It is kept for
    /// whoever asked.
    fn learn(&self) -> impl Future<Output = Result<Version, Fault>> + use<> {
        let dialer = Rc::clone(&self.dialer);
        let (h1, h2) = (Rc::clone(&self.h1), Rc::clone(&self.h2));
        async move {
            let connected = dialer.dial(None).await?;
            let version = connected.version;
            match version {
                Version::Http1 => h1.keep(h1.open(&dialer, connected).await?),
                Version::Http2 => h2.open(connected).await?,
            }
            Ok(version)
        }
    }
}

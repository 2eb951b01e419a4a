//! What the sampler needs to know; built by `config`.

use std::time::Duration;

use http::{HeaderName, Method};

/// Traces per million, 0 to [`PerMillion::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PerMillion(u32);

impl PerMillion {
    /// One million: everything.
    pub const MAX: u32 = 1_000_000;

    /// `None` above one million.
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The sampler's settings.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Settings {
    /// Rate where no rule matches.
    pub rate: PerMillion,
    /// How a rate becomes a decision.
    pub ratio_rule: RatioRule,
    /// Cap per second on traces started or resampled here.
    pub max_traces_per_second: Option<u32>,
    /// Cap per second on trusted sampled parents.
    pub max_trusted_traces_per_second: Option<u32>,
    /// What an unsampled root hands on.
    pub unsampled_root: UnsampledRoot,
    /// Key of the hash that replaces caller-chosen randomness; random per process if absent.
    pub fleet_key: Option<[u8; 16]>,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// Unsampled requests that are exported all the same.
    pub keep: Option<Keep>,
    /// How old a span may become before another one continues it; absent: any age.
    pub max_span_duration: Option<std::time::Duration>,
}

/// Which unsampled requests are exported all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Those that fail.
    pub errors: bool,
    /// Those whose response's head takes longer.
    pub slower_than: Option<Duration>,
    /// Cap per second on both together.
    pub max_per_second: u32,
}

/// How a rate becomes a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RatioRule {
    /// OpenTelemetry's consistent probability sampling: keep iff R ≥ T.
    #[default]
    Consistent,
    /// Kubernetes' (and OpenTelemetry's older) 63-bit `TraceIdRatioBased` rule.
    TraceIdRatio,
}

/// What an unsampled root hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UnsampledRoot {
    /// An honest `-00`.
    #[default]
    Propagate,
    /// No context: the component decides for itself.
    Omit,
}

/// Requests and what the sampler does with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Every condition present must hold.
    pub matches: Match,
    /// What then happens.
    pub action: Action,
}

/// Conditions on a request; absent ones hold.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Match {
    /// Path, without query.
    pub path: Option<Glob>,
    /// Method.
    pub method: Option<Method>,
    /// Host, without port, compared lower-cased.
    pub host: Option<Glob>,
    /// gRPC service (`package.Service`) of a request whose content type is gRPC.
    pub grpc_service: Option<Glob>,
    /// Name of the listener.
    pub listener: Option<Glob>,
    /// Fields of which at least one value must match.
    pub headers: Vec<(HeaderName, Glob)>,
}

/// What happens to requests a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// No span; hands on what trust left.
    Drop,
    /// Sampled at a rate of its own.
    Sample {
        /// The rate.
        rate: PerMillion,
        /// Cap per second, absent: none beyond the global one.
        max_traces_per_second: Option<u32>,
    },
}

/// A literal pattern in which `*` stands for any run of characters, the empty one included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// Any string is a pattern.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

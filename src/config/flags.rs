//! The command line's share of the configuration.

/// The flags of `tracegate run` that are settings; values as typed, validated with the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen ADDR`
    pub listen: Option<String>,
    /// `--upstream URL`
    pub upstream: Option<String>,
    /// `--direction ingress|egress`
    pub direction: Option<String>,
    /// `--trust drop|ids|full`
    pub trust: Option<String>,
    /// `--protocol P`
    pub protocol: Option<String>,
    /// `--upstream-protocol P`
    pub upstream_protocol: Option<String>,
    /// `--sampling-rate-per-million N`
    pub sampling_rate_per_million: Option<String>,
    /// `--otlp-endpoint URL`
    pub otlp_endpoint: Option<String>,
    /// `--admin ADDR`
    pub admin: Option<String>,
}

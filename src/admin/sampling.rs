//! `/sampling`: rates as JSON, shown and changed while the proxy runs.
//!
//! A change names what it changes and leaves the rest; it is applied whole or not at all. What
//! `GET` shows may be sent back by `PUT`: a rule's `match` and `drop` are then compared, so
//! that a change meant for one rule never lands on another after a reload.

use http::StatusCode;
use serde_json::{Map, Value, json};

use self::parse::parse;
use super::reply::{self, Refusal, Reply};
use crate::sample::settings::{Match, PerMillion};

mod parse;
mod strict;

const RATE: &str = "samplingRatePerMillion";

/// The sampler, as far as its rates can be seen and set.
pub trait Sampling: Send + Sync {
    /// The rates in effect.
    fn rates(&self) -> Rates;

    /// Puts a change in effect, whole or not at all.
    ///
    /// # Errors
    /// Why not, in words: the rules were reloaded in between, for example.
    fn set(&self, change: &Change) -> Result<(), String>;
}

/// Rates in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Where no rule matches.
    pub default: PerMillion,
    /// In order; first match wins.
    pub rules: Vec<RuleRate>,
}

/// A rule and its rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRate {
    /// What it matches.
    pub matches: Match,
    /// Its rate; `None`: such requests get no span, and that can't be changed here.
    pub rate: Option<PerMillion>,
}

/// Rates to change; what isn't named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Where no rule matches.
    pub default: Option<PerMillion>,
    /// Rules by index; each at most once, each one that has a rate.
    pub rules: Vec<(usize, PerMillion)>,
}

/// Rates as `GET` shows them.
pub(super) fn show(rates: &Rates) -> Value {
    let rules: Vec<Value> = rates
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            let matches = show_match(&rule.matches);
            match rule.rate {
                Some(rate) => json!({"index": index, "match": matches, RATE: rate.get()}),
                None => json!({"index": index, "match": matches, "drop": true}),
            }
        })
        .collect();
    json!({RATE: rates.default.get(), "rules": rules})
}

/// Applies what `PUT` sent and shows the result, or says everything that is wrong with it.
pub(super) fn put(sampling: &dyn Sampling, body: &[u8]) -> Result<Reply, Refusal> {
    let change = parse(body, &sampling.rates())
        .map_err(|faults| Refusal::new(StatusCode::BAD_REQUEST, faults.join("\n")))?;
    sampling
        .set(&change)
        .map_err(|why| Refusal::new(StatusCode::CONFLICT, why))?;
    tracing::info!(?change, "sampling rates changed over the admin server");
    Ok(reply::json(&show(&sampling.rates())))
}

fn show_match(matches: &Match) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value.into());
        }
    };
    put("path", matches.path.as_ref().map(|glob| glob.as_str()));
    put("method", matches.method.as_ref().map(|m| m.as_str()));
    put("host", matches.host.as_ref().map(|glob| glob.as_str()));
    put(
        "grpcService",
        matches.grpc_service.as_ref().map(|glob| glob.as_str()),
    );
    put(
        "listener",
        matches.listener.as_ref().map(|glob| glob.as_str()),
    );
    if !matches.headers.is_empty() {
        let headers: Map<String, Value> = matches
            .headers
            .iter()
            .map(|(name, glob)| (name.as_str().to_owned(), glob.as_str().into()))
            .collect();
        map.insert("header".to_owned(), headers.into());
    }
    map.into()
}

#[cfg(test)]
mod tests;

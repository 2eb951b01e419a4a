//! Reads what `PUT /sampling` sent, strictly.

use serde_json::{Map, Value};

use super::strict::Strict;
use super::{Change, RATE, Rates, RuleRate, show_match};
use crate::sample::settings::PerMillion;

/// Reads a change: every fault is reported, and any fault refuses the whole.
pub(super) fn parse(body: &[u8], current: &Rates) -> Result<Change, Vec<String>> {
    let Strict(value) = serde_json::from_slice(body).map_err(|error| {
        vec![if error.is_data() {
            error.to_string()
        } else {
            format!("expected JSON, got something else: {error}")
        }]
    })?;
    let Value::Object(map) = &value else {
        return Err(vec![format!("expected an object, got {}", brief(&value))]);
    };
    let mut change = Change::default();
    let mut faults = Vec::new();
    for (key, value) in map {
        match key.as_str() {
            RATE => change.default = rate(RATE, value, &mut faults),
            "rules" => rules(value, current, &mut change, &mut faults),
            other => faults.push(format!(
                "unknown key {}: expected {RATE} or rules",
                brief(&other.into())
            )),
        }
    }
    if map.is_empty() {
        faults.push(format!("expected {RATE} or rules, got neither"));
    }
    if faults.is_empty() {
        Ok(change)
    } else {
        Err(faults)
    }
}

fn rules(value: &Value, current: &Rates, change: &mut Change, faults: &mut Vec<String>) {
    let Value::Array(entries) = value else {
        faults.push(format!("rules: expected a list, got {}", brief(value)));
        return;
    };
    let mut seen = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let before = faults.len();
        let Some((index, rate)) = rule(&format!("rules[{at}]"), entry, current, faults) else {
            continue;
        };
        if seen.contains(&index) {
            faults.push(format!("rules[{at}].index: rule {index} is named twice"));
        }
        seen.push(index);
        if let (Some(rate), true) = (rate, faults.len() == before) {
            change.rules.push((index, rate));
        }
    }
}

/// A rule's index and new rate; no rate for a rule that drops and is only repeated.
fn rule(
    at: &str,
    entry: &Value,
    current: &Rates,
    faults: &mut Vec<String>,
) -> Option<(usize, Option<PerMillion>)> {
    let Value::Object(map) = entry else {
        faults.push(format!("{at}: expected an object, got {}", brief(entry)));
        return None;
    };
    for key in map.keys() {
        if !["index", "match", "drop", RATE].contains(&key.as_str()) {
            faults.push(format!(
                "{at}: unknown key {}: expected index, match, drop or {RATE}",
                brief(&key.as_str().into())
            ));
        }
    }
    let index = map.get("index").unwrap_or(&Value::Null);
    let found = index
        .as_u64()
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| Some((index, current.rules.get(index)?)));
    let Some((index, rule)) = found else {
        faults.push(format!(
            "{at}.index: expected the index of one of {} rules, got {}",
            current.rules.len(),
            brief(index)
        ));
        return None;
    };
    if let Some(given) = map.get("match")
        && *given != show_match(&rule.matches)
    {
        faults.push(format!(
            "{at}.match: expected what rule {index} matches, {}, got {}",
            show_match(&rule.matches),
            brief(given)
        ));
    }
    let rate = rule_rate(at, map, rule, faults);
    Some((index, rate))
}

fn rule_rate(
    at: &str,
    map: &Map<String, Value>,
    rule: &RuleRate,
    faults: &mut Vec<String>,
) -> Option<PerMillion> {
    let drops = rule.rate.is_none();
    if let Some(given) = map.get("drop")
        && given.as_bool() != Some(drops)
    {
        faults.push(format!(
            "{at}.drop: expected {drops}, which can't be changed here, got {}",
            brief(given)
        ));
    }
    match (map.get(RATE), drops) {
        (Some(value), false) => rate(&format!("{at}.{RATE}"), value, faults),
        (Some(_), true) => {
            faults.push(format!(
                "{at}.{RATE}: expected none: the rule drops such requests"
            ));
            None
        }
        (None, true) => None,
        (None, false) => {
            faults.push(format!(
                "{at}.{RATE}: expected {}, got nothing",
                expected_rate()
            ));
            None
        }
    }
}

fn rate(at: &str, value: &Value, faults: &mut Vec<String>) -> Option<PerMillion> {
    let rate = value
        .as_u64()
        .and_then(|rate| u32::try_from(rate).ok())
        .and_then(PerMillion::new);
    if rate.is_none() {
        faults.push(format!(
            "{at}: expected {}, got {}",
            expected_rate(),
            brief(value)
        ));
    }
    rate
}

fn expected_rate() -> String {
    format!("an integer from 0 to {}", PerMillion::MAX)
}

/// A value as JSON, cut to what fits into a line.
pub(super) fn brief(value: &Value) -> String {
    const MAX: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

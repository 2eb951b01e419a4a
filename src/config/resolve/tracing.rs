//! `tracing`, but for `tracing.export`: what is sampled.

use std::sync::Arc;
use std::time::Duration;

use crate::config::files;
use crate::config::reader::{Field, Map};
use crate::config::values;
use crate::sample::settings::{
    Action, Glob, Keep, Match, RatioRule, Rule, Settings, UnsampledRoot,
};

use super::Sources;

const MOST_PER_SECOND: u32 = 1_000_000;

/// `keep.maxPerSecond` where `keep` doesn't say it: what callers can make fail needs a bound.
const MOST_KEPT: u32 = 50;

pub(super) fn read(map: &Map<'_>, listeners: &[Arc<str>], out: &mut Sources) -> Option<Settings> {
    // Its contents were laid under this tree already; its existence was checked then.
    let kubernetes = map.get("kubernetesFile");
    out.kubernetes_file = kubernetes
        .read(values::text)
        .map(|named| kubernetes.at().directory().join(named));
    let rate = map
        .get("samplingRatePerMillion")
        .read_plain(values::per_million)
        .unwrap_or_default();
    let ratio_rule = map.get("ratioRule").one_of(
        &[
            ("consistent", RatioRule::Consistent),
            ("traceidratio", RatioRule::TraceIdRatio),
        ],
        &[],
    );
    let unsampled_root = map.get("unsampledRoot").one_of(
        &[
            ("propagate", UnsampledRoot::Propagate),
            ("omit", UnsampledRoot::Omit),
        ],
        &[],
    );
    let fleet_key = map.get("fleetKey").map().and_then(|key| {
        let (path, key) = files::key(&key.get("file").required())?;
        out.fleet_key_file = Some(path);
        Some(key)
    });
    let span_ages = Duration::from_secs(1)..=24 * super::HOUR;
    let max_span_duration = map.get("maxSpanDuration");
    let max_span_duration = max_span_duration.read(values::duration(span_ages));
    let rules = map.get("rules").list();
    let rules = rules
        .iter()
        .map(|field| rule(field, listeners))
        .collect::<Vec<_>>();
    Some(Settings {
        rate,
        ratio_rule: ratio_rule.unwrap_or_default(),
        max_traces_per_second: cap(map, "maxTracesPerSecond"),
        max_trusted_traces_per_second: cap(map, "maxTrustedTracesPerSecond"),
        unsampled_root: unsampled_root.unwrap_or_default(),
        fleet_key,
        keep: keep(&map.get("keep")),
        max_span_duration,
        rules: rules.into_iter().collect::<Option<_>>()?,
    })
}

fn keep(field: &Field<'_>) -> Option<Keep> {
    let map = field.map()?;
    let (errors, slower) = (map.get("errors"), map.get("slowerThan"));
    let wanted = errors.boolean();
    let slower_than = slower.read(values::duration(
        Duration::from_millis(1)..=24 * super::HOUR,
    ));
    let max = map.get("maxPerSecond");
    let max = max.read_plain(values::small(1..=MOST_PER_SECOND));
    if (wanted == Some(false) || !errors.is_present()) && !slower.is_present() {
        field.fault("expected errors: true or slowerThan");
    }
    Some(Keep {
        errors: wanted.unwrap_or_default(),
        slower_than,
        max_per_second: max.unwrap_or(MOST_KEPT),
    })
}

fn cap(map: &Map<'_>, key: &'static str) -> Option<u32> {
    map.get(key).read_plain(values::small(1..=MOST_PER_SECOND))
}

fn rule(field: &Field<'_>, listeners: &[Arc<str>]) -> Option<Rule> {
    let map = field.map()?;
    let condition = map.get("match").required();
    let matches = condition
        .map()
        .and_then(|map| conditions(&condition, &map, listeners));
    let drop = map.get("drop");
    let dropped = drop.boolean();
    let rate = map.get("samplingRatePerMillion");
    let own_rate = rate.read_plain(values::per_million);
    let max = map.get("maxTracesPerSecond");
    let max_traces_per_second = max.read_plain(values::small(1..=MOST_PER_SECOND));
    let action = if dropped == Some(true) {
        if rate.is_present() {
            rate.fault("not beside drop: true");
        }
        if max.is_present() {
            max.fault("not beside drop: true");
        }
        Some(Action::Drop)
    } else {
        if !rate.is_present() && (dropped.is_some() || !drop.is_present()) {
            field.fault("expected drop: true or samplingRatePerMillion");
        }
        own_rate.map(|rate| Action::Sample {
            rate,
            max_traces_per_second,
        })
    };
    Some(Rule {
        matches: matches?,
        action: action?,
    })
}

fn conditions(field: &Field<'_>, map: &Map<'_>, listeners: &[Arc<str>]) -> Option<Match> {
    let listener = map.get("listener");
    let matches = Match {
        path: map.get("path").read(values::path_glob),
        method: map.get("method").read(values::method),
        host: map.get("host").read(values::host_glob),
        grpc_service: map.get("grpcService").read(values::service_glob),
        listener: listener.read(values::glob),
        headers: headers(&map.get("header")),
    };
    if let Some(pattern) = &matches.listener
        && !listeners.iter().any(|name| covers(pattern, name))
    {
        listener.fault(format!("no listener is called {:?}", pattern.as_str()));
    }
    let keys = [
        "path",
        "method",
        "host",
        "grpcService",
        "listener",
        "header",
    ];
    if !keys.iter().any(|key| map.get(key).is_present()) {
        field.fault(
            "expected at least one condition; for all requests there is \
             tracing.samplingRatePerMillion",
        );
        return None;
    }
    Some(matches)
}

fn headers(field: &Field<'_>) -> Vec<(http::HeaderName, Glob)> {
    let Some(mut map) = field.map() else {
        return Vec::new();
    };
    let fields = map.fields();
    if fields.is_empty() {
        field.fault("expected at least one header");
    }
    let mut headers: Vec<(http::HeaderName, Glob)> = Vec::new();
    for (key, field) in fields {
        let Ok(name) = values::header_name(key) else {
            field.fault("expected a header name");
            continue;
        };
        if headers.iter().any(|(other, _)| *other == name) {
            field.fault("this header stands here twice: case doesn't count");
        }
        if let Some(pattern) = field.read(values::glob) {
            headers.push((name, pattern));
        }
    }
    headers
}

/// Whether a listener of this name could ever match. Only literal names can be misspelt.
fn covers(pattern: &Glob, name: &str) -> bool {
    pattern.as_str().contains('*') || pattern.as_str() == name
}

//! Which format a scraper gets: the one its `Accept` weighs highest (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

use super::text::Format;

impl Format {
    /// The format these request headers ask for; Prometheus text if they don't care.
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let mut text = 0.0_f32;
        let mut open_metrics = 0.0_f32;
        let ranges = headers
            .get_all(ACCEPT)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        for range in ranges {
            let Some((format, weight)) = range_of(range) else {
                continue;
            };
            match format {
                Self::Text => text = text.max(weight),
                Self::OpenMetrics => open_metrics = open_metrics.max(weight),
            }
        }
        if open_metrics > text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a media range asks for and how much; `None` if it is nothing that is written here.
fn range_of(range: &str) -> Option<(Format, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    let (format, versions): (_, &[&str]) = if media.eq_ignore_ascii_case("text/plain") {
        (Format::Text, &["0.0.4"])
    } else if media.eq_ignore_ascii_case("application/openmetrics-text") {
        (Format::OpenMetrics, &["1.0.0", "0.0.1"])
    } else if media == "*/*" || media.eq_ignore_ascii_case("text/*") {
        (Format::Text, &[])
    } else {
        return None;
    };
    let mut weight = 1.0;
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("q") {
            weight = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
        } else if name.trim().eq_ignore_ascii_case("version") && !versions.contains(&value) {
            return None;
        }
    }
    Some((format, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_with_the_highest_weight_is_written() {
        use Format::{OpenMetrics, Text};
        for (accept, format, why) in [
            ("", Text, "nothing asked"),
            ("*/*", Text, "anything"),
            (
                "text/html",
                Text,
                "nothing we write: a browser still sees text",
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
                "what Prometheus sends",
            ),
            (
                "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8; q=0.6, */*;q=0.1",
                OpenMetrics,
                "what Prometheus 3 sends",
            ),
            (
                "application/openmetrics-text;q=0.1,text/plain;q=0.9",
                Text,
                "text weighs more",
            ),
            (
                "application/openmetrics-text;version=2.0.0",
                Text,
                "a version we don't write",
            ),
            ("application/openmetrics-text;q=0", Text, "refused"),
            ("application/openmetrics-text;q=nonsense", Text, "no weight"),
            ("application/openmetrics-text;q=NaN", Text, "no weight"),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Format::negotiate(&headers), format, "{why}: {accept}");
        }
    }
}

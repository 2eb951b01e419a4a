//! Scalars: a text becomes a typed value, or the parser says what it expected.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use crate::sample::settings::{Glob, PerMillion};

/// What parsers here return; the error is what was expected, to be put after that word.
pub(super) type Expected<T> = Result<T, String>;

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Expected<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// Decimal digits within a range.
pub(super) fn integer(range: RangeInclusive<u64>) -> impl Fn(&str) -> Expected<u64> {
    move |text| {
        let expected = || format!("an integer from {} to {}", range.start(), range.end());
        digits(text)
            .filter(|value| range.contains(value))
            .ok_or_else(expected)
    }
}

/// As [`integer`], for what is counted in memory.
pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Expected<usize> {
    move |text| {
        let expected = || format!("an integer from {} to {}", range.start(), range.end());
        digits(text)
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| range.contains(value))
            .ok_or_else(expected)
    }
}

/// As [`integer`], in 32 bits.
pub(super) fn small(range: RangeInclusive<u32>) -> impl Fn(&str) -> Expected<u32> {
    move |text| {
        let expected = || format!("an integer from {} to {}", range.start(), range.end());
        digits(text)
            .and_then(|value| u32::try_from(value).ok())
            .filter(|value| range.contains(value))
            .ok_or_else(expected)
    }
}

/// 0 to one million.
pub(super) fn per_million(text: &str) -> Expected<PerMillion> {
    digits(text)
        .and_then(|value| u32::try_from(value).ok())
        .and_then(PerMillion::new)
        .ok_or_else(|| "an integer from 0 to 1000000".to_owned())
}

fn digits(text: &str) -> Option<u64> {
    let decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    decimal.then(|| text.parse().ok()).flatten()
}

/// `30s`, `5m`, `1h30m`, `1.5s`, within a range.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Expected<Duration> {
    move |text| {
        parse_duration(text)
            .filter(|value| range.contains(value))
            .ok_or_else(|| {
                let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
                format!("a duration like 30s, 5m or 1h30m, from {least} to {most}")
            })
    }
}

/// As [`duration`], or the word `none`.
pub(super) fn duration_or_none(
    range: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Expected<Option<Duration>> {
    let duration = duration(range);
    move |text| match text {
        "none" => Ok(None),
        _ => duration(text)
            .map(Some)
            .map_err(|expected| format!("none, or {expected}")),
    }
}

/// One or more numbers with units, as Go writes durations.
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u128); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number = rest
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()?;
        rest = rest.strip_prefix(number)?;
        let name = rest
            .split(|c: char| c.is_ascii_digit() || c == '.')
            .next()?;
        rest = rest.strip_prefix(name)?;
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let fraction_digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= 9)?;
        let whole = u128::from(digits(whole)?).checked_mul(*unit)?;
        let part = u128::from(digits(fraction)?) * unit / 10_u128.pow(fraction_digits);
        nanos = nanos.checked_add(whole)?.checked_add(part)?;
    }
    let nanos = u64::try_from(nanos).ok()?;
    (!text.is_empty()).then(|| Duration::from_nanos(nanos))
}

/// A duration as the file would write it: `1h30m`, `1.5s`, `0s`.
pub(super) fn show_duration(value: Duration) -> String {
    let (seconds, nanos) = (value.as_secs(), value.subsec_nanos());
    if nanos != 0 {
        if seconds == 0 && nanos % 1_000_000 == 0 {
            return format!("{}ms", nanos / 1_000_000);
        }
        let fraction = format!("{nanos:09}");
        return format!("{seconds}.{}s", fraction.trim_end_matches('0'));
    }
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let part = |n: u64, unit: &str| {
        if n == 0 {
            String::new()
        } else {
            format!("{n}{unit}")
        }
    };
    let shown = [part(h, "h"), part(m, "m"), part(s, "s")].concat();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown
    }
}

/// Bytes: `65536`, `64KiB`, `1MiB`.
pub(super) fn size(range: RangeInclusive<usize>) -> impl Fn(&str) -> Expected<usize> {
    move |text| {
        let (number, unit) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .unwrap_or((text, 1_usize));
        digits(number)
            .and_then(|value| usize::try_from(value).ok())
            .and_then(|value| value.checked_mul(unit))
            .filter(|value| range.contains(value))
            .ok_or_else(|| {
                let (least, most) = (show_size(*range.start()), show_size(*range.end()));
                format!("a size like 64KiB or 1MiB, from {least} to {most}")
            })
    }
}

/// A size as the file would write it.
pub(super) fn show_size(value: usize) -> String {
    match value {
        v if v != 0 && v % (1 << 20) == 0 => format!("{}MiB", v >> 20),
        v if v != 0 && v % (1 << 10) == 0 => format!("{}KiB", v >> 10),
        v => v.to_string(),
    }
}

/// A network like `10.0.0.0/8`; an address alone is a network of one.
pub(super) fn cidr(text: &str) -> Expected<IpNet> {
    let parsed = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(net) = parsed else {
        return Err("a network like 10.0.0.0/8 or fd00::/8".to_owned());
    };
    if net.trunc() != net {
        return Err(format!("a network without host bits ({})", net.trunc()));
    }
    // Peers are judged by the IPv4 address they stand for, so such a network would never match.
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
        && v6.prefix_len() >= 96
    {
        return Err("an IPv4 network, not its mapping into IPv6".to_owned());
    }
    Ok(net)
}

/// Any text but the empty one, without control characters.
pub(super) fn text(text: &str) -> Expected<String> {
    let fine = !text.is_empty() && text.len() <= 4096 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
        .ok_or_else(|| "a text of 1 to 4096 bytes without control characters".to_owned())
}

/// A listener's name: it becomes a label of metrics.
pub(super) fn name(text: &str) -> Expected<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fine = (1..=63).contains(&text.len()) && text.bytes().all(allowed);
    fine.then(|| text.to_owned())
        .ok_or_else(|| "a name of 1 to 63 letters, digits, '-', '_' or '.'".to_owned())
}

/// A pattern with `*`.
pub(super) fn glob(text: &str) -> Expected<Glob> {
    self::text(text).map(|text| Glob::new(&text))
}

/// A pattern of hosts, which are compared lower-cased.
pub(super) fn host_glob(text: &str) -> Expected<Glob> {
    if text.contains([':', '/']) {
        return Err("a host without scheme or port".to_owned());
    }
    self::text(text).map(|text| Glob::new(&text.to_ascii_lowercase()))
}

/// A pattern of paths.
pub(super) fn path_glob(text: &str) -> Expected<Glob> {
    match text.as_bytes().first() {
        Some(b'/' | b'*') if !text.contains('?') => Ok(Glob::new(text)),
        _ => Err("a path that starts with / or *, without query".to_owned()),
    }
}

/// A pattern of gRPC services.
pub(super) fn service_glob(text: &str) -> Expected<Glob> {
    if text.is_empty() || text.contains('/') {
        return Err("a gRPC service like package.Service, without method".to_owned());
    }
    self::text(text).map(|text| Glob::new(&text))
}

/// A method, in its exact case.
pub(super) fn method(text: &str) -> Expected<Method> {
    let upper = !text.bytes().any(|b| b.is_ascii_lowercase());
    Method::from_bytes(text.as_bytes())
        .ok()
        .filter(|_| upper)
        .ok_or_else(|| "a method in upper case, like GET".to_owned())
}

/// A header's name; lower-cased.
pub(super) fn header_name(text: &str) -> Expected<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "a header name".to_owned())
}

/// A header's value, of printable ASCII.
pub(super) fn header_value(text: &str) -> Expected<HeaderValue> {
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| text.is_ascii())
        .ok_or_else(|| "a header value of printable ASCII".to_owned())
}

/// `package.Service/Method`
pub(super) fn rpc_method(text: &str) -> Expected<String> {
    let part = |p: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_');
        !p.is_empty() && p.len() <= 255 && p.bytes().all(allowed)
    };
    text.split_once('/')
        .filter(|(service, method)| part(service) && part(method))
        .map(|_| text.to_owned())
        .ok_or_else(|| "a gRPC method like package.Service/Method".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("1m0.5s", 60_500),
            ("2000us", 2),
            ("2000µs", 2),
        ] {
            let expected = Some(Duration::from_millis(milliseconds));
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for (text, why) in [
            ("", "empty"),
            ("5", "no unit"),
            ("s", "no number"),
            (".s", "no digits"),
            ("1.2.3s", "two points"),
            ("-1s", "negative"),
            ("+1s", "sign"),
            ("1 s", "space"),
            ("1d", "unknown unit"),
            ("1s2", "unit missing at the end"),
            ("1.0000000001s", "finer than a nanosecond"),
            ("99999999999999999999h", "overflow"),
            ("18446744073709551615h", "overflow of nanoseconds"),
        ] {
            assert_eq!(parse_duration(text), None, "{why}");
        }
    }

    #[test]
    fn a_network_of_one_needs_no_prefix() {
        assert_eq!(cidr("10.0.0.1"), cidr("10.0.0.1/32"));
        assert_eq!(cidr("::1"), cidr("::1/128"));
        assert!(cidr("::ffff:10.0.0.1").is_err(), "mapped");
        assert!(cidr("::/0").is_ok());
    }

    #[test]
    fn ranges_include_their_ends() {
        assert_eq!(integer(1..=3)("3"), Ok(3));
        assert_eq!(integer(1..=3)("1"), Ok(1));
        assert!(integer(1..=3)("4").is_err());
        assert!(integer(0..=u64::MAX)("18446744073709551616").is_err());
        assert_eq!(size(0..=usize::MAX)("18014398509481984KiB").ok(), None);
    }

    proptest! {
        #[test]
        fn durations_survive_being_shown(nanos in 0..=31_536_000_000_000_000_u64) {
            let value = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&show_duration(value)), Some(value));
        }

        #[test]
        fn sizes_survive_being_shown(value in 0..=usize::MAX) {
            let most = 0..=usize::MAX;
            prop_assert_eq!(size(most)(&show_size(value)), Ok(value));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
            let _ = size(0..=usize::MAX)(&text);
            let _ = cidr(&text);
            let _ = rpc_method(&text);
            let _ = path_glob(&text);
        }
    }
}

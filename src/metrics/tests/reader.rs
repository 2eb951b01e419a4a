//! Reads expositions as strictly as the formats are specified, for tests.

use std::collections::{BTreeMap, HashSet};

use super::super::Format;

type Labels = BTreeMap<String, String>;
type Fault = String;

/// Labels and value of an example.
type Exemplar = (Labels, f64);

type Sample = (String, Labels, f64, Option<Exemplar>);

/// An exposition that satisfied the reader.
pub(super) struct Read(Vec<Sample>);

struct Family {
    name: String,
    kind: String,
    help: bool,
    unit: bool,
    samples: Vec<Sample>,
}

impl Read {
    pub(super) fn strictly(text: &str, format: Format) -> Result<Self, Fault> {
        let text = text
            .strip_suffix('\n')
            .ok_or("the last line has no newline")?;
        let mut lines: Vec<&str> = text.split('\n').collect();
        if format == Format::OpenMetrics && lines.pop() != Some("# EOF") {
            return Err("the last line isn't `# EOF`".into());
        }
        let mut families: Vec<Family> = Vec::new();
        let mut names = HashSet::new();
        for line in lines {
            let fault = |why: &str| format!("{why}: {line:?}");
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or(fault("TYPE"))?;
                if !is_name(name, true) || !names.insert(name) {
                    return Err(fault("bad or repeated name"));
                }
                families.push(Family {
                    name: name.into(),
                    kind: kind.into(),
                    help: false,
                    unit: false,
                    samples: Vec::new(),
                });
                continue;
            }
            let family = families.last_mut().ok_or(fault("no family yet"))?;
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or(fault("HELP"))?;
                let quotes = format == Format::OpenMetrics;
                unescape(help, quotes).ok_or(fault("help"))?;
                if name != family.name || family.help || !family.samples.is_empty() {
                    return Err(fault("misplaced HELP"));
                }
                family.help = true;
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').ok_or(fault("UNIT"))?;
                if name != family.name || !name.ends_with(&format!("_{unit}")) {
                    return Err(fault("UNIT isn't the name's suffix"));
                }
                family.unit = true;
            } else {
                let sample = sample(line, format).ok_or(fault("sample"))?;
                family.samples.push(sample);
            }
        }
        for family in &families {
            family
                .check(format)
                .map_err(|why| format!("{}: {why}", family.name))?;
        }
        Ok(Self(families.into_iter().flat_map(|f| f.samples).collect()))
    }

    pub(super) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Labels = labels
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        self.0
            .iter()
            .find(|(n, l, ..)| n == name && *l == labels)
            .map(|(_, _, value, _)| *value)
    }

    /// The sum of all samples of that name.
    #[allow(dead_code, reason = "every test binary uses another part")]
    pub(super) fn sum(&self, name: &str) -> f64 {
        let samples = self.0.iter().filter(|(n, ..)| n == name);
        samples.map(|(_, _, value, _)| *value).sum()
    }

    /// The sum of the samples of that name with this label.
    #[allow(dead_code, reason = "every test binary uses another part")]
    pub(super) fn matching(&self, name: &str, label: &str, value: &str) -> f64 {
        let labelled = |labels: &Labels| labels.get(label).is_some_and(|v| v == value);
        let samples = self.0.iter().filter(|(n, l, ..)| n == name && labelled(l));
        samples.map(|(_, _, value, _)| *value).sum()
    }

    /// Every exemplar, with its bucket's bound.
    #[allow(dead_code, reason = "every test binary uses another part")]
    pub(super) fn exemplars(&self) -> impl Iterator<Item = (&str, &Labels, f64)> {
        self.0.iter().filter_map(|(_, labels, _, exemplar)| {
            let (shown, value) = exemplar.as_ref()?;
            Some((labels.get("le")?.as_str(), shown, *value))
        })
    }
}

impl Family {
    fn check(&self, format: Format) -> Result<(), Fault> {
        if !self.help {
            return Err("no HELP".into());
        }
        let open = format == Format::OpenMetrics;
        if open != self.unit && (self.unit || self.name.ends_with("_seconds")) {
            return Err("UNIT belongs to OpenMetrics, and there to every unit".into());
        }
        let suffixes: &[&str] = match (self.kind.as_str(), open) {
            ("gauge", _) | ("counter", false) => &[""],
            ("counter", true) => &["_total"],
            ("info", true) => &["_info"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            _ => return Err(format!("unknown type {}", self.kind)),
        };
        if open && self.kind == "counter" && self.name.ends_with("_total") {
            return Err("a counter's family has no _total".into());
        }
        let mut seen = HashSet::new();
        for (name, labels, value, exemplar) in &self.samples {
            let suffix = name.strip_prefix(&self.name);
            if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
                return Err(format!("{name} isn't of this family"));
            }
            if exemplar.is_some() && !(name.ends_with("_bucket") || name.ends_with("_total")) {
                return Err(format!("{name} can't have an exemplar"));
            }
            if !seen.insert((name, labels)) {
                return Err(format!("{name} {labels:?} is repeated"));
            }
            let counts = matches!(self.kind.as_str(), "counter" | "histogram");
            if (counts && (value.is_nan() || *value < 0.0))
                || (self.kind == "info" && *value != 1.0)
            {
                return Err(format!("{name} can't be {value}"));
            }
        }
        if self.kind == "histogram" {
            self.check_histograms()?;
        }
        Ok(())
    }

    fn check_histograms(&self) -> Result<(), Fault> {
        let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for (name, labels, value, exemplar) in &self.samples {
            if name.ends_with("_bucket") {
                let mut labels = labels.clone();
                let le = labels.remove("le").ok_or("a bucket without le")?;
                let le = number(&le).ok_or("le isn't a number")?;
                if exemplar.as_ref().is_some_and(|(_, value)| *value > le) {
                    return Err(format!("{labels:?}: an exemplar outside of its bucket"));
                }
                buckets.entry(labels).or_default().push((le, *value));
            }
        }
        for (labels, buckets) in &buckets {
            let rising = buckets
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let find = |suffix: &str| {
                let name = format!("{}{suffix}", self.name);
                let found = self
                    .samples
                    .iter()
                    .find(|(n, l, ..)| *n == name && l == labels);
                found.map(|(_, _, value, _)| *value)
            };
            let last = buckets.last().copied();
            if !rising || last != find("_count").map(|count| (f64::INFINITY, count)) {
                return Err(format!("{labels:?}: buckets don't rise to the count"));
            }
            find("_sum").ok_or("no sum")?;
        }
        let series = |suffix: &str| {
            self.samples
                .iter()
                .filter(|(n, ..)| n.ends_with(suffix))
                .count()
        };
        if series("_count") != buckets.len() || series("_sum") != buckets.len() {
            return Err("a count or sum without buckets".into());
        }
        Ok(())
    }
}

/// `name{label="value",…} number`; in OpenMetrics an exemplar may follow, `# {…} number time`.
fn sample(line: &str, format: Format) -> Option<Sample> {
    let (line, exemplar) = match line.split_once(" # ") {
        Some((line, exemplar)) if format == Format::OpenMetrics => {
            let rest = exemplar.strip_prefix('{')?;
            let (rest, numbers) = rest.split_once("} ")?;
            let labels = labels(rest)?;
            let length: usize = labels.iter().map(|(n, v)| n.len() + v.len()).sum();
            let (value, time) = numbers.split_once(' ').unwrap_or((numbers, "0"));
            number(time)?;
            if length > 128 {
                return None;
            }
            (line, Some((labels, number(value)?)))
        }
        _ => (line, None),
    };
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        None => (series, Labels::new()),
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
    };
    is_name(name, true).then_some((name.into(), labels, number(value)?, exemplar))
}

/// `label="value",…`
fn labels(mut rest: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        let value = unescape(&after[..end], true)?;
        if !is_name(label, false) || labels.insert(label.into(), value).is_some() {
            return None;
        }
        rest = &after[end + 1..];
        rest = match rest.strip_prefix(',') {
            Some("") => return None,
            Some(more) => more,
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(labels)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

fn unescape(text: &str, quotes: bool) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        out.push(match character {
            '\\' => match chars.next()? {
                'n' => '\n',
                '\\' => '\\',
                '"' if quotes => '"',
                _ => return None,
            },
            '"' if quotes => return None,
            other => other,
        });
    }
    Some(out)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e'))
            .then(|| text.parse().ok())?,
    }
}

fn is_name(name: &str, colon: bool) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':'))
}

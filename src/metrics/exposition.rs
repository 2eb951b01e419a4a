//! Writes families of metrics as Prometheus text 0.0.4 or as OpenMetrics 1.0.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::histogram::{BOUNDS, Snapshot};

/// A text format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What a scrape answers, while it is being written.
///
/// A family is written in one go and once: the samples of a name that was begun before are
/// left out, since either format forbids them and scrapers refuse the whole answer.
pub struct Exposition {
    format: Format,
    out: String,
    names: HashSet<String>,
}

/// A family whose samples follow.
pub struct Family<'a> {
    exposition: &'a mut Exposition,
    // Name of the sample; empty if this family was written before.
    sample: String,
}

/// The value of a sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    /// A count that never falls below zero.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// Anything else.
    Float(f64),
}

impl Exposition {
    /// Nothing written yet.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            out: String::with_capacity(8 * 1024),
            names: HashSet::new(),
        }
    }

    /// Begins a counter; its samples are called `name` with `_total` behind it.
    pub fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let sample = format!("{name}_total");
        match self.format {
            Format::Text => self.begin(&sample, "counter", help, &sample),
            Format::OpenMetrics => self.begin(name, "counter", help, &sample),
        }
    }

    /// Begins a gauge.
    pub fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.begin(name, "gauge", help, name)
    }

    /// Begins an info metric: labels that don't change, and the value 1. Its samples are called
    /// `name` with `_info` behind it.
    pub fn info(&mut self, name: &str, help: &str) -> Family<'_> {
        let name = name.strip_suffix("_info").unwrap_or(name);
        let sample = format!("{name}_info");
        match self.format {
            Format::Text => self.begin(&sample, "gauge", help, &sample),
            Format::OpenMetrics => self.begin(name, "info", help, &sample),
        }
    }

    /// Begins a histogram of seconds.
    pub fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.begin(name, "histogram", help, name)
    }

    /// The text, complete.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn begin(&mut self, family: &str, kind: &str, help: &str, sample: &str) -> Family<'_> {
        if !self.names.insert(family.to_owned()) {
            return Family {
                exposition: self,
                sample: String::new(),
            };
        }
        let _ = writeln!(self.out, "# TYPE {family} {kind}");
        if self.format == Format::OpenMetrics
            && let Some(unit) = ["seconds", "bytes"]
                .into_iter()
                .find(|unit| family.ends_with(&format!("_{unit}")))
        {
            let _ = writeln!(self.out, "# UNIT {family} {unit}");
        }
        let _ = write!(self.out, "# HELP {family} ");
        escape(&mut self.out, help, self.format == Format::OpenMetrics);
        self.out.push('\n');
        Family {
            exposition: self,
            sample: sample.to_owned(),
        }
    }
}

impl Family<'_> {
    /// Writes a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Number>) -> &mut Self {
        self.line("", labels, None, value.into());
        self
    }

    /// Writes the samples of one histogram.
    pub fn buckets(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) -> &mut Self {
        let bounds = BOUNDS.iter().map(Some).chain([None]);
        let mut cumulative = 0;
        for (bound, bucket) in bounds.zip(&snapshot.buckets) {
            cumulative += bucket;
            // OpenMetrics wants `1.0`, not `1`; both formats say the same, so that a change of
            // format doesn't change the series.
            let le = bound.map_or("+Inf".to_owned(), |b| format!("{:?}", b.as_secs_f64()));
            self.line("_bucket", labels, Some(&le), Number::Unsigned(cumulative));
        }
        let sum = Duration::from_micros(snapshot.sum_us).as_secs_f64();
        self.line("_sum", labels, None, Number::Float(sum));
        self.line("_count", labels, None, Number::Unsigned(cumulative));
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: Number) {
        if self.sample.is_empty() {
            return;
        }
        let out = &mut self.exposition.out;
        out.push_str(&self.sample);
        out.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            out.push(separator);
            separator = ',';
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value, true);
            out.push('"');
        }
        if separator == ',' {
            out.push('}');
        }
        out.push(' ');
        value.write(out);
        out.push('\n');
    }
}

impl Number {
    fn write(self, out: &mut String) {
        let _ = match self {
            Self::Unsigned(value) => write!(out, "{value}"),
            Self::Signed(value) => write!(out, "{value}"),
            Self::Float(f64::INFINITY) => write!(out, "+Inf"),
            Self::Float(f64::NEG_INFINITY) => write!(out, "-Inf"),
            Self::Float(value) => write!(out, "{value}"),
        };
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Unsigned(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

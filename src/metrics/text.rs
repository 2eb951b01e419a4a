//! Writes what was gathered as Prometheus text 0.0.4 or as OpenMetrics 1.0.
//!
//! Names become Prometheus' by OpenTelemetry's translation: dots become underscores, the unit and
//! `_total` are put behind.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::exemplar::Exemplar;
use super::exposition::{Exposition, Family, Kind, Number, Value};
use super::histogram::{BOUNDS, BUCKETS, Snapshot};
use crate::span::semconv::Anchor;

/// A text format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// The whole text.
pub(super) fn write(exposition: &Exposition, format: Format) -> String {
    let mut out = String::with_capacity(8 * 1024);
    let anchor = Anchor::now();
    for family in &exposition.families {
        Writer {
            out: &mut out,
            format,
            anchor,
        }
        .family(family);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

struct Writer<'a> {
    out: &'a mut String,
    format: Format,
    anchor: Anchor,
}

impl Writer<'_> {
    fn family(&mut self, family: &Family) {
        let mut name = family.name.replace('.', "_");
        let unit = if family.kind == Kind::Histogram {
            "_seconds"
        } else {
            ""
        };
        name.push_str(unit);
        let open = self.format == Format::OpenMetrics;
        let (suffix, kind) = match (family.kind, open) {
            (Kind::Counter, _) => ("_total", "counter"),
            (Kind::Gauge, _) => ("", "gauge"),
            (Kind::Info, true) => ("_info", "info"),
            (Kind::Info, false) => ("_info", "gauge"),
            (Kind::Histogram, _) => ("", "histogram"),
        };
        let sample = format!("{name}{suffix}");
        // Prometheus' text knows no suffixes: a family is called like its samples.
        let described = if open { &name } else { &sample };
        let _ = writeln!(self.out, "# TYPE {described} {kind}");
        if open
            && let Some(unit) = ["seconds", "bytes"]
                .into_iter()
                .find(|unit| name.ends_with(&format!("_{unit}")))
        {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = write!(self.out, "# HELP {described} ");
        escape(self.out, &family.help, open);
        self.out.push('\n');
        for point in &family.points {
            match &point.value {
                Value::Number(number) => self.line(&sample, &point.labels, None, *number, None),
                Value::Histogram(histogram) => {
                    let (durations, exemplars) = &**histogram;
                    self.histogram(&sample, &point.labels, durations, exemplars);
                }
            }
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(String, String)],
        durations: &Snapshot,
        exemplars: &[Option<Exemplar>; BUCKETS],
    ) {
        let bounds = BOUNDS.iter().map(Some).chain([None]);
        let bucket = format!("{name}_bucket");
        let mut cumulative = 0;
        for ((bound, count), exemplar) in bounds.zip(&durations.buckets).zip(exemplars) {
            cumulative += count;
            // OpenMetrics wants `1.0`, not `1`; both formats say the same, so that a change of
            // format doesn't change the series.
            let le = bound.map_or("+Inf".to_owned(), |b| format!("{:?}", b.as_secs_f64()));
            let value = Number::Unsigned(cumulative);
            self.line(&bucket, labels, Some(&le), value, exemplar.as_ref());
        }
        let sum = Duration::from_micros(durations.sum_us).as_secs_f64();
        self.line(&format!("{name}_sum"), labels, None, sum.into(), None);
        self.line(
            &format!("{name}_count"),
            labels,
            None,
            cumulative.into(),
            None,
        );
    }

    fn line(
        &mut self,
        name: &str,
        labels: &[(String, String)],
        le: Option<&str>,
        value: Number,
        exemplar: Option<&Exemplar>,
    ) {
        self.out.push_str(name);
        let mut separator = '{';
        let labels = labels.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in labels.chain(le.map(|le| ("le", le))) {
            self.out.push(separator);
            separator = ',';
            self.out.push_str(&name.replace('.', "_"));
            self.out.push_str("=\"");
            escape(self.out, value, true);
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
        self.out.push(' ');
        value.write(self.out);
        if let (Some(exemplar), Format::OpenMetrics) = (exemplar, self.format) {
            self.exemplar(exemplar);
        }
        self.out.push('\n');
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let since = self.anchor.date(exemplar.at).duration_since(UNIX_EPOCH);
        let _ = write!(
            self.out,
            " # {{trace_id=\"{:032x}\",span_id=\"{:016x}\"}} {} {:.3}",
            exemplar.trace_id.get(),
            exemplar.span_id.get(),
            exemplar.duration.as_secs_f64(),
            since.unwrap_or_default().as_secs_f64(),
        );
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

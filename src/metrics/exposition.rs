//! Families of metrics while they are gathered, for whichever encoding follows.

use std::collections::HashSet;

use super::exemplar::Exemplar;
use super::histogram::{BUCKETS, Snapshot};

/// Everything somebody who asks is told.
///
/// A family is gathered in one go and once: the samples of a name that was begun before are left
/// out, since the text formats forbid them and scrapers refuse the whole answer.
#[derive(Debug, Default)]
pub struct Exposition {
    pub(super) families: Vec<Family>,
    names: HashSet<String>,
    // Takes what may not be said twice.
    spare: Option<Family>,
}

/// What a family counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// Labels that don't change, and the value 1.
    Info,
    /// Durations in seconds.
    Histogram,
}

/// A family and its samples.
#[derive(Debug)]
pub struct Family {
    /// In OpenTelemetry's form if it has dots, in Prometheus' form else; without suffixes.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) points: Vec<Point>,
}

/// One sample, or one histogram.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Number(Number),
    Histogram(Box<(Snapshot, [Option<Exemplar>; BUCKETS])>),
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
    /// Begins a counter.
    pub fn counter(&mut self, name: &str, help: &str) -> &mut Family {
        let name = name.strip_suffix("_total").unwrap_or(name);
        self.begin(name, Kind::Counter, help)
    }

    /// Begins a gauge.
    pub fn gauge(&mut self, name: &str, help: &str) -> &mut Family {
        self.begin(name, Kind::Gauge, help)
    }

    /// Begins an info metric: labels that don't change, and the value 1.
    pub fn info(&mut self, name: &str, help: &str) -> &mut Family {
        let name = name.strip_suffix("_info").unwrap_or(name);
        self.begin(name, Kind::Info, help)
    }

    /// Begins a histogram of seconds.
    pub fn histogram(&mut self, name: &str, help: &str) -> &mut Family {
        self.begin(name, Kind::Histogram, help)
    }

    fn begin(&mut self, name: &str, kind: Kind, help: &str) -> &mut Family {
        let family = Family {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            points: Vec::new(),
        };
        if self.names.insert(name.to_owned()) {
            self.families.push_mut(family)
        } else {
            self.spare.insert(family)
        }
    }
}

impl Family {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Number>) -> &mut Self {
        self.point(labels, Value::Number(value.into()))
    }

    /// Adds a histogram, and for each of its buckets an example.
    pub fn buckets(
        &mut self,
        labels: &[(&str, &str)],
        durations: &Snapshot,
        exemplars: &[Option<Exemplar>; BUCKETS],
    ) -> &mut Self {
        let value = Value::Histogram(Box::new((*durations, *exemplars)));
        self.point(labels, value)
    }

    fn point(&mut self, labels: &[(&str, &str)], value: Value) -> &mut Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.points.push(Point {
            labels: labels.iter().map(owned).collect(),
            value,
        });
        self
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

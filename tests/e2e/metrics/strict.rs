//! The reader the registry's own tests use.

#[path = "../../../src/metrics/tests/reader.rs"]
mod reader;

use super::Format;

/// Samples of a text that satisfied the reader.
pub struct Samples(reader::Read);

impl Samples {
    /// Reads a text of that format.
    pub fn read(text: &str, format: Format) -> Result<Self, String> {
        reader::Read::strictly(text, format).map(Self)
    }

    /// The trace ids of all exemplars.
    pub fn exemplar_traces(&self) -> Vec<String> {
        let exemplars = self.0.exemplars();
        exemplars
            .map(|(_, labels, _)| labels["trace_id"].clone())
            .collect()
    }

    /// The sum of the samples of that name with this label.
    pub fn matching(&self, name: &str, label: &str, value: &str) -> f64 {
        self.0.matching(name, label, value)
    }

    /// A sample's value.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.get(name, labels)
    }
}

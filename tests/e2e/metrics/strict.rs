//! The reader the registry's own tests use.

#[path = "../../../src/metrics/tests/reader.rs"]
mod reader;

use super::Format;

/// Samples of a text that satisfied the reader.
pub struct Samples(reader::Read);

impl Samples {
    /// Reads Prometheus text.
    pub fn read(text: &str) -> Result<Self, String> {
        reader::Read::strictly(text, Format::Text).map(Self)
    }

    /// A sample's value.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.get(name, labels)
    }
}

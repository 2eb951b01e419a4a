//! Fields of a request, for tests.

use http::HeaderName;

use super::Fields;

/// Lower-cased names and values, in order.
pub(crate) struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    pub fn new<V: AsRef<[u8]>>(lines: &[(&str, V)]) -> Self {
        let owned = |(name, value): &(&str, V)| ((*name).to_owned(), value.as_ref().to_vec());
        Self(lines.iter().map(owned).collect())
    }
}

impl Fields for Lines {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let same = move |line: &&(String, Vec<u8>)| line.0 == name.as_str();
        self.0
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_slice())
    }
}

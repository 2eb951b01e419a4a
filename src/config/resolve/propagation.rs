//! `propagation`: the formats context is read and written in.

use crate::config::reader::{Field, Map};
use crate::context::formats::Format;
use crate::context::propagation::Propagation;

pub(super) fn read(map: &Map<'_>) -> Propagation {
    let default = Propagation::default();
    let extract = formats(&map.get("extract"), default.extract());
    let inject = formats(&map.get("inject"), default.inject());
    Propagation::new(&extract, &inject)
}

/// A list of formats, in order, each once. An empty one is one, too.
fn formats(field: &Field<'_>, default: &[Format]) -> Vec<Format> {
    if !field.is_present() {
        return default.to_vec();
    }
    let words = Format::ALL.map(|format| (format.as_str(), format));
    let mut read = Vec::new();
    for item in field.list() {
        let Some(format) = item.one_of(&words, &[]) else {
            continue;
        };
        if read.contains(&format) {
            item.fault(format!("{:?} stands here twice", format.as_str()));
        }
        read.push(format);
    }
    read
}

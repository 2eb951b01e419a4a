//! The apiserver's audit log.

use std::path::PathBuf;

use serde_json::Value;

use super::cluster::PATIENCE;
use super::process::until;

/// Where it is.
pub struct Audit(PathBuf);

impl Audit {
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// Every event so far.
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for an event that is over and that is wanted.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(what, PATIENCE, || {
            let mut events = self.events().into_iter();
            events.find(|event| event["stage"] == "ResponseComplete" && wanted(event))
        })
    }
}

/// Whether an event is that verb upon that object.
pub fn is(event: &Value, verb: &str, resource: &str, name: &str) -> bool {
    let object = &event["objectRef"];
    event["verb"] == verb && object["resource"] == resource && object["name"] == name
}

//! `span.templates.openapi`: an OpenAPI document (2 or 3) whose paths are patterns.
//!
//! Looked at are the keys of `paths`, the methods below them, and what stands before them:
//! `servers` (OpenAPI 3, of the document or of a path) and `basePath` (OpenAPI 2). Everything else
//! may be as it likes. A path whose methods can't be seen here (`$ref`, an alias) is for all.

use std::path::PathBuf;
use std::sync::Arc;

use super::fault::{At, Origin, Report};
use super::files;
use super::raw::{self, Entry, Manner, Node, Value};
use super::reader::Field;
use crate::span::routes::pattern::Pattern;
use crate::span::routes::patterns::{MAX_PATTERNS, Methods, Patterns, Refused};

/// Documents are longer than configurations, and describe much that isn't looked at.
const MANNER: Manner = Manner {
    text: 8 << 20,
    depth: 128,
    nodes: 300_000,
    lenient: true,
};

/// Fields of a path that are methods.
const METHODS: [&str; 9] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace", "query",
];

/// Adds the document's paths to `patterns`; those that `own` has already are left as they are.
pub(super) fn read(field: &Field<'_>, own: &[String], patterns: &mut Patterns) -> Option<PathBuf> {
    let (path, text) = files::text_up_to(field, MANNER.text as u64)?;
    let origin = Arc::new(Origin::OpenApi(path.clone()));
    let root = raw::parse_as(MANNER, &text, &origin, field.report())?;
    let mut document = Document {
        report: field.report(),
        own,
        patterns,
        full: false,
    };
    document.read(&root);
    Some(path)
}

struct Document<'a> {
    report: &'a Report,
    own: &'a [String],
    patterns: &'a mut Patterns,
    full: bool,
}

impl Document<'_> {
    fn read(&mut self, root: &Node) {
        let swagger = scalar(root.get(&["swagger"])) == Some("2.0");
        let openapi = scalar(root.get(&["openapi"])).is_some_and(|v| v.starts_with("3."));
        if !swagger && !openapi {
            let message = "expected an OpenAPI document, with openapi: 3.… or swagger: \"2.0\"";
            self.report.fault(&root.at, "", message);
            return;
        }
        let bases = if swagger {
            let base = root.get(&["basePath"]);
            vec![base.and_then(|base| self.base(base, "basePath", scalar(Some(base))))]
        } else {
            self.servers(root, "servers")
        };
        let Some(paths) = root.get(&["paths"]) else {
            self.report.fault(&root.at, "paths", "is required");
            return;
        };
        let Value::Mapping(entries) = &paths.value else {
            let message = "expected a mapping of paths";
            self.report.fault(&paths.at, "paths", message);
            return;
        };
        for entry in entries.iter().filter(|e| !e.key.starts_with("x-")) {
            self.path(entry, &bases);
        }
    }

    fn path(&mut self, entry: &Entry, bases: &[Option<String>]) {
        let place = format!("paths.{}", entry.key);
        let of_path = entry.node.get(&["servers"]).is_some();
        let own = of_path.then(|| self.servers(&entry.node, &format!("{place}.servers")));
        let methods = methods(&entry.node);
        if matches!(&methods, Methods::Only(only) if only.is_empty()) {
            return;
        }
        for base in own.as_deref().unwrap_or(bases).iter().flatten() {
            let text = format!("{base}{}", entry.key);
            match Pattern::parse(&text) {
                Ok(pattern) => self.insert(&entry.at, &place, &pattern, methods.clone()),
                Err(expected) => {
                    let message = format!("expected {expected}; got {text:?}");
                    self.report.fault(&entry.at, &place, message);
                }
            }
        }
    }

    fn insert(&mut self, at: &At, place: &str, pattern: &Pattern, methods: Methods) {
        match self.patterns.insert(pattern, methods) {
            Ok(()) => {}
            // What the configuration itself says counts.
            Err(Refused::Taken(other)) if self.own.contains(&other) => {}
            // Servers that differ in their hosts alone lead to the same path.
            Err(Refused::Taken(other)) if *other == *pattern.text => {}
            Err(Refused::Taken(other)) => {
                let message = format!("matches the same requests as {other:?}");
                self.report.fault(at, place, message);
            }
            Err(Refused::Full) if !self.full => {
                let message = format!("expected at most {MAX_PATTERNS} patterns");
                self.report.fault(at, place, message);
                self.full = true;
            }
            Err(Refused::Full) => {}
        }
    }

    /// What stands before the paths, once for each server.
    fn servers(&self, node: &Node, place: &str) -> Vec<Option<String>> {
        let Some(Value::Sequence(servers)) = node.get(&["servers"]).map(|s| &s.value) else {
            return vec![Some(String::new())];
        };
        if servers.is_empty() {
            return vec![Some(String::new())];
        }
        let mut bases: Vec<_> = servers
            .iter()
            .enumerate()
            .map(|(index, server)| {
                let place = format!("{place}[{index}].url");
                let url = scalar(server.get(&["url"])).map(|url| with_defaults(url, server));
                self.base(server, &place, url.as_deref().map(path_of))
            })
            .collect();
        bases.sort();
        bases.dedup();
        bases
    }

    /// A base without its final slash; `None`, and a fault, if it can't stand before a path.
    fn base(&self, node: &Node, place: &str, base: Option<&str>) -> Option<String> {
        let base = base.map(|base| base.strip_suffix('/').unwrap_or(base));
        match base {
            Some("") => Some(String::new()),
            Some(base) if !base.contains(['{', '}', '*']) && Pattern::parse(base).is_ok() => {
                Some(base.to_owned())
            }
            _ => {
                let message = "expected a path, or a URL with one; variables need a default";
                self.report.fault(&node.at, place, message);
                None
            }
        }
    }
}

/// The methods a path lists.
fn methods(item: &Node) -> Methods {
    let Value::Mapping(entries) = &item.value else {
        return Methods::Any;
    };
    if entries.iter().any(|e| matches!(&*e.key, "$ref" | "<<")) {
        return Methods::Any;
    }
    let listed = entries.iter().map(|e| &*e.key);
    let listed = listed.filter(|key| METHODS.contains(key));
    Methods::Only(listed.map(str::to_ascii_uppercase).collect())
}

/// A server's URL with its variables at their defaults.
fn with_defaults(url: &str, server: &Node) -> String {
    let Some(Value::Mapping(variables)) = server.get(&["variables"]).map(|v| &v.value) else {
        return url.to_owned();
    };
    variables.iter().fold(url.to_owned(), |url, variable| {
        match scalar(variable.node.get(&["default"])) {
            Some(default) => url.replace(&format!("{{{}}}", variable.key), default),
            None => url,
        }
    })
}

/// The path of a URL, absolute or relative to wherever the document comes from.
fn path_of(url: &str) -> &str {
    match url.split_once("//") {
        Some((_, rest)) => rest.find('/').map_or("", |start| &rest[start..]),
        None => url,
    }
}

fn scalar(node: Option<&Node>) -> Option<&str> {
    match &node?.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

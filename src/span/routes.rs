//! Routes: what a path is called on a span (`http.route`, `url.template`, and the span's name).
//!
//! A route comes from a closed set, whatever a caller asks for: the templates of the Kubernetes
//! API, and configured patterns. A path that matches none has no route; it is never a name itself.

use std::path::PathBuf;

pub mod kubernetes;
pub mod pattern;
pub mod patterns;

use self::kubernetes::{Kubernetes, Request};
use self::patterns::Patterns;

/// The routes of one listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes {
    /// The templates of the Kubernetes API, if paths are to be read as its own.
    pub kubernetes: Option<Kubernetes>,
    /// Patterns, those of an OpenAPI document included.
    pub patterns: Patterns,
    /// Where they come from.
    pub source: Source,
}

/// What the configuration said of a listener's routes, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Custom resources whose names may stand in routes, each `plural.group`.
    pub custom_resources: Vec<String>,
    /// Patterns as written.
    pub patterns: Vec<String>,
    /// The OpenAPI document.
    pub openapi: Option<PathBuf>,
}

/// What is known of a request by its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The route, one of the closed set.
    pub route: Option<String>,
    /// What the request asks of the Kubernetes API.
    pub kubernetes: Option<Request>,
}

impl Routes {
    /// Looks a request up. `path` and `query` are as received.
    ///
    /// A pattern is somebody's explicit wish, so it beats the templates of the Kubernetes API.
    pub fn find(&self, method: &str, path: &str, query: Option<&str>) -> Found {
        let kubernetes = self
            .kubernetes
            .as_ref()
            .and_then(|kubernetes| kubernetes.request(method, path, query));
        let route = match self.patterns.find(method, path) {
            Some(pattern) => Some(pattern.to_owned()),
            None => kubernetes.as_ref().map(|request| request.route.clone()),
        };
        Found { route, kubernetes }
    }
}

#[cfg(test)]
mod tests;

//! Paths of the Kubernetes API: routes like `/api/v1/namespaces/{namespace}/pods/{name}`, and what
//! a request asks for.
//!
//! A request is read as the API server reads it (its `RequestInfo`): the path is decoded first and
//! split then, the verb comes of the method, of a name and of `watch`. Only groups, versions,
//! resources and subresources that are known stand in a route, any other is a placeholder: a
//! caller can ask for whatever it likes and still mints no name.

use std::collections::{BTreeMap, BTreeSet};

use super::super::record;

mod built_in;
mod other;
mod query;

/// The longest value taken from a path, in bytes: that of a DNS subdomain name.
pub const MAX_VALUE: usize = 253;

/// What takes all that follows. Of a path that was cut nothing else is sure.
const TAIL: &str = "{path}";

/// Subresources any custom resource may have.
const CUSTOM_SUBRESOURCES: &[&str] = &["scale", "status"];

/// The templates of the Kubernetes API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// Group → resources beyond the built-in ones.
    custom: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
}

/// What a request asks of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The path's template.
    pub route: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or
    /// `proxy`; the method in lower case where no resource is asked for. `None`: no known method.
    pub verb: Option<&'static str>,
    /// The resource asked for, if one is.
    pub resource: Option<Resource>,
}

/// Which resource; every value is the caller's own word, at most [`MAX_VALUE`] bytes long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// API group; `None`: the core group.
    pub group: Option<String>,
    /// Version of the group.
    pub version: String,
    /// Resource, in its plural.
    pub resource: String,
    /// Subresource.
    pub subresource: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
}

impl Kubernetes {
    /// The built-in templates, and those of custom resources: pairs of group and plural.
    pub fn new<'a>(custom: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for (group, resource) in custom {
            all.entry(group.into()).or_default().insert(resource.into());
        }
        Self { custom: all }
    }

    /// Reads a request; `None` if its path isn't one of the API's. `path` and `query` are as
    /// received.
    pub fn request(&self, method: &str, path: &str, query: Option<&str>) -> Option<Request> {
        let cut = record::may_be_cut(path);
        let path = query::decode_path(path, cut)?;
        let inner = path.strip_prefix('/')?;
        let trimmed = inner.strip_suffix('/').filter(|left| !left.is_empty());
        let inner = trimmed.unwrap_or(inner);
        let parts: Vec<&str> = inner.split('/').collect();
        let request = match other::route(&parts) {
            Some(route) => Request {
                route: route.to_owned(),
                verb: other::verb(method),
                resource: None,
            },
            None => self.resource(method, &parts, query)?,
        };
        (!cut || request.route.ends_with(TAIL)).then_some(request)
    }

    fn resource(&self, method: &str, parts: &[&str], query: Option<&str>) -> Option<Request> {
        let (group, rest) = match parts {
            ["api", rest @ ..] => ("", rest),
            ["apis", group, rest @ ..] if is_value(group) => (*group, rest),
            _ => return None,
        };
        let (version, rest) = rest.split_first().filter(|(v, _)| is_value(v))?;
        let names = self.names(group);
        let mut route = Route::new(group, version, &names);
        let (special, rest) = match rest {
            [special @ ("watch" | "proxy"), rest @ ..] => {
                route.push(special);
                (Some(*special), rest)
            }
            rest => (None, rest),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, "status" | "finalize", ..] => (Some(*namespace), rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                route.push("namespaces/{namespace}");
                (Some(*namespace), rest)
            }
            ["namespaces", namespace] => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (resource, rest) = rest.split_first().filter(|(r, _)| is_value(r))?;
        let subresources = names.subresources(resource);
        route.push(subresources.map_or("{resource}", |_| resource));
        let (name, rest) = (rest.first(), rest.get(1..).unwrap_or_default());
        if name.is_some() {
            route.push("{name}");
        }
        // The old way of proxying has no subresource, only a path behind the name.
        let sub = rest.first().filter(|_| special != Some("proxy"));
        if let Some(sub) = sub {
            let known = subresources.unwrap_or(CUSTOM_SUBRESOURCES).contains(sub);
            route.push(if known { sub } else { "{subresource}" });
        }
        if rest.len() > usize::from(sub.is_some()) {
            route.push(TAIL);
        }
        let values = [namespace, name.copied(), sub.copied()];
        if !values.into_iter().flatten().all(is_value) {
            return None;
        }
        let owned = |value: &str| record::cut(value, MAX_VALUE).to_owned();
        Some(Request {
            route: route.0,
            verb: special
                .and_then(|special| SPECIAL.into_iter().find(|verb| *verb == special))
                .or_else(|| verb(method, name.is_some(), query)),
            resource: Some(Resource {
                group: (!group.is_empty()).then(|| owned(group)),
                version: owned(version),
                resource: owned(resource),
                subresource: sub.map(|sub| owned(sub)),
                namespace: namespace.map(owned),
            }),
        })
    }

    fn names(&self, group: &str) -> Names<'_> {
        let built_in = built_in::GROUPS.iter().find(|known| known.name == group);
        let custom = self.custom.get(group);
        Names { built_in, custom }
    }
}

/// Verbs that stand in the path.
const SPECIAL: [&str; 2] = ["watch", "proxy"];

/// The verb of a request for a resource.
fn verb(method: &str, named: bool, query: Option<&str>) -> Option<&'static str> {
    Some(match method {
        "GET" | "HEAD" if named => "get",
        "GET" | "HEAD" if query.is_some_and(query::watches) => "watch",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        _ => return None,
    })
}

/// What is known of a group.
struct Names<'a> {
    built_in: Option<&'static built_in::Group>,
    custom: Option<&'a BTreeSet<Box<str>>>,
}

impl Names<'_> {
    const fn known(&self) -> bool {
        self.built_in.is_some() || self.custom.is_some()
    }

    fn has_version(&self, version: &str) -> bool {
        self.built_in
            .is_some_and(|group| group.versions.contains(&version))
    }

    /// The subresources of a resource; `None` if it isn't known.
    fn subresources(&self, resource: &str) -> Option<&'static [&'static str]> {
        let mut built_in = self.built_in.iter().flat_map(|group| group.resources);
        if let Some((_, subresources)) = built_in.find(|(name, _)| *name == resource) {
            return Some(subresources);
        }
        let custom = self.custom.is_some_and(|names| names.contains(resource));
        custom.then_some(CUSTOM_SUBRESOURCES)
    }
}

/// A route under construction.
struct Route(String);

impl Route {
    /// `/api/{version}` or `/apis/{group}/{version}`.
    fn new(group: &str, version: &str, names: &Names<'_>) -> Self {
        let mut route = Self(String::with_capacity(96));
        if group.is_empty() {
            route.push("api");
        } else {
            route.push("apis");
            route.push(if names.known() { group } else { "{group}" });
        }
        let known = names.has_version(version);
        route.push(if known { version } else { "{version}" });
        route
    }

    fn push(&mut self, segment: &str) {
        self.0.push('/');
        self.0.push_str(segment);
    }
}

/// Whether a segment can be a value: neither empty nor a way to another path.
fn is_value(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
}

#[cfg(test)]
mod tests;

//! A set of patterns: the most specific one that matches is the route.
//!
//! From left to right, text is more specific than text mixed with parameters, that than a
//! parameter alone, and that than the rest. So the order they were written in doesn't count.
//!
//! Own code, for routers that are crates know neither two parameters in a segment, which OpenAPI
//! has, nor one path whose methods are different routes. A tree: a look-up visits each node once
//! at most, so no path can make it slow.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::pattern::{Mixed, Pattern, Segment};
use crate::span::record;

/// The most patterns of one set.
pub const MAX_PATTERNS: usize = 5000;

/// Patterns, ready to be looked up in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns {
    root: Node,
    count: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    literals: BTreeMap<Box<str>, Node>,
    /// The most text first.
    mixed: BTreeMap<(Reverse<usize>, Mixed), Node>,
    any: Option<Box<Node>>,
    /// Routes that end here.
    end: Vec<Leaf>,
    /// Routes that take everything from here.
    rest: Vec<Leaf>,
}

/// A route, and the methods it is for.
#[derive(Clone, Debug, PartialEq)]
struct Leaf {
    route: Box<str>,
    methods: Methods,
}

/// The methods a pattern is for, in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Every method.
    Any,
    /// These, and HEAD where there is GET.
    Only(Vec<String>),
}

/// Why a pattern can't join a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This one matches the same paths.
    Taken(String),
    /// There are [`MAX_PATTERNS`] already.
    Full,
}

impl Methods {
    fn have(&self, method: &str) -> bool {
        let listed = |name: &str, only: &[String]| only.iter().any(|listed| listed == name);
        match self {
            Self::Any => true,
            Self::Only(only) => listed(method, only) || (method == "HEAD" && listed("GET", only)),
        }
    }

    fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Only(these), Self::Only(those)) => these.iter().any(|m| those.contains(m)),
        }
    }
}

impl Patterns {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a pattern.
    ///
    /// # Errors
    /// If another one stands for the same paths and methods, or there are too many.
    pub fn insert(&mut self, pattern: &Pattern, methods: Methods) -> Result<(), Refused> {
        if self.count >= MAX_PATTERNS {
            return Err(Refused::Full);
        }
        let mut node = &mut self.root;
        for segment in &pattern.segments {
            node = node.child(segment);
        }
        let leaves = if pattern.rest {
            &mut node.rest
        } else {
            &mut node.end
        };
        if let Some(other) = leaves.iter().find(|leaf| leaf.methods.overlap(&methods)) {
            return Err(Refused::Taken(other.route.to_string()));
        }
        leaves.push(Leaf {
            route: pattern.text.clone(),
            methods,
        });
        self.count += 1;
        Ok(())
    }

    /// The most specific pattern that matches, as it was written.
    pub fn find(&self, method: &str, path: &str) -> Option<&str> {
        if self.is_empty() {
            return None;
        }
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        if segments.iter().any(|s| matches!(*s, "." | "..")) {
            return None;
        }
        let route = self.root.find(&segments, method)?;
        // Of a path that was cut only what the rest takes is sure.
        (!record::may_be_cut(path) || route.ends_with("/*")).then_some(route)
    }
}

impl Node {
    /// The node behind a segment, made if there is none.
    fn child(&mut self, segment: &Segment) -> &mut Self {
        match segment {
            Segment::Literal(text) => self.literals.entry(text.clone()).or_default(),
            Segment::Any => self.any.get_or_insert_default(),
            Segment::Mixed(mixed) => {
                let key = (Reverse(mixed.weight()), mixed.clone());
                self.mixed.entry(key).or_default()
            }
        }
    }

    fn find(&self, segments: &[&str], method: &str) -> Option<&str> {
        let Some((first, behind)) = segments.split_first() else {
            return leaf(&self.end, method);
        };
        let literal = self.literals.get(*first);
        let mixed = self.mixed.iter();
        let mixed = mixed.filter(|((_, mixed), _)| mixed.matches(first));
        let any = self.any.as_deref().filter(|_| !first.is_empty());
        literal
            .into_iter()
            .chain(mixed.map(|(_, node)| node))
            .chain(any)
            .find_map(|node| node.find(behind, method))
            .or_else(|| leaf(&self.rest, method))
    }
}

fn leaf<'a>(leaves: &'a [Leaf], method: &str) -> Option<&'a str> {
    let found = leaves.iter().find(|leaf| leaf.methods.have(method))?;
    Some(&found.route)
}

#[cfg(test)]
mod tests;

//! Reading a tree: fields know their path, faults are collected, unknown keys can't be missed.

use std::cell::RefCell;

use super::fault::{At, Report};
use super::raw::{Entry, Node, Value};
use super::values;
use super::words::{alternatives, nearest, show};

/// A field that may be there.
#[derive(Clone)]
pub(super) struct Field<'a> {
    report: &'a Report,
    path: String,
    /// The key's place, or the surrounding mapping's if the key is absent.
    key_at: At,
    state: State<'a>,
}

#[derive(Clone, Copy)]
enum State<'a> {
    Absent,
    /// There, but a fault has been reported already.
    Faulty,
    Is(&'a Node),
}

/// A mapping being read. Keys nobody asked for are reported when it is dropped.
pub(super) struct Map<'a> {
    report: &'a Report,
    path: String,
    at: At,
    entries: &'a [Entry],
    known: RefCell<Vec<&'static str>>,
    /// Keys are the user's: none is unknown.
    open: bool,
}

impl<'a> Field<'a> {
    /// The whole document.
    pub fn root(node: &'a Node, report: &'a Report) -> Self {
        Self {
            report,
            path: String::new(),
            key_at: node.at.clone(),
            state: State::Is(node),
        }
    }

    /// Where to point at: a scalar itself, the key of anything bigger.
    pub fn at(&self) -> &At {
        match self.state {
            State::Is(node) if matches!(node.value, Value::Scalar { .. }) => &node.at,
            _ => &self.key_at,
        }
    }

    /// `listeners[0].upstream.url`
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the key is there, faulty or not.
    pub fn is_present(&self) -> bool {
        !matches!(self.state, State::Absent)
    }

    /// Reports a fault here.
    pub fn fault(&self, message: impl Into<String>) {
        self.report.fault(self.at(), &self.path, message);
    }

    /// Where warnings, notes and file names go.
    pub fn report(&self) -> &'a Report {
        self.report
    }

    /// A fault if the key is absent.
    pub fn required(self) -> Self {
        if !self.is_present() {
            self.fault("is required");
        }
        self
    }

    /// The mapping here; `None` if it is absent or something else.
    pub fn map(&self) -> Option<Map<'a>> {
        let State::Is(node) = self.state else {
            return None;
        };
        let Value::Mapping(entries) = &node.value else {
            self.fault(format!("expected a mapping; got {}", kind(&node.value)));
            return None;
        };
        Some(self.make_map(entries))
    }

    /// The mapping here; an empty one if it is absent or something else.
    pub fn map_or_empty(&self) -> Map<'a> {
        self.map().unwrap_or_else(|| self.make_map(&[]))
    }

    fn make_map(&self, entries: &'a [Entry]) -> Map<'a> {
        Map {
            report: self.report,
            path: self.path.clone(),
            at: self.key_at.clone(),
            entries,
            known: RefCell::default(),
            open: false,
        }
    }

    /// The items of the sequence here; none if it is absent or something else.
    pub fn list(&self) -> Vec<Field<'a>> {
        let State::Is(node) = self.state else {
            return Vec::new();
        };
        let Value::Sequence(items) = &node.value else {
            self.fault(format!("expected a list; got {}", kind(&node.value)));
            return Vec::new();
        };
        let item =
            |(index, node)| Field::new(self.report, format!("{}[{index}]", self.path), None, node);
        items.iter().enumerate().map(item).collect()
    }

    /// Whether a sequence stands here.
    pub fn is_list(&self) -> bool {
        matches!(self.state, State::Is(node) if matches!(node.value, Value::Sequence(_)))
    }

    /// The items of the sequence here, or the one scalar that stands instead of it.
    pub fn one_or_list(&self) -> Vec<Field<'a>> {
        match self.state {
            State::Is(node) if matches!(node.value, Value::Scalar { .. }) => vec![self.clone()],
            _ => self.list(),
        }
    }

    /// Reads a text; the parser's error is what it expected.
    pub fn read<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (text, _) = self.scalar(|| parse("").err())?;
        self.parsed(text, parse(text))
    }

    /// Reads a number or a boolean: quoted ones are texts, and refused.
    pub fn read_plain<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (text, plain) = self.scalar(|| parse("").err())?;
        if !plain {
            let expected = parse("").err().unwrap_or_default();
            self.fault(format!("expected {expected}; got the text {}", show(text)));
            return None;
        }
        self.parsed(text, parse(text))
    }

    /// Reads a text that no fault may repeat.
    pub fn read_secret<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let (text, _) = self.scalar(|| None)?;
        parse(text)
            .map_err(|expected| self.fault(format!("expected {expected}")))
            .ok()
    }

    /// Reads one of a few words; those in `not_yet` are known, but refused.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)], not_yet: &[&str]) -> Option<T> {
        let expected = alternatives(words.iter().map(|(word, _)| *word));
        let (text, _) = self.scalar(|| Some(expected.clone()))?;
        if not_yet.contains(&text) {
            self.fault(format!(
                "{text:?} is not supported yet; expected {expected}"
            ));
            return None;
        }
        let found = words.iter().find(|(word, _)| *word == text);
        self.parsed(text, found.map(|(_, value)| *value).ok_or(expected))
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        self.read_plain(values::boolean)
    }

    fn new(report: &'a Report, path: String, key_at: Option<&At>, node: &'a Node) -> Self {
        let mut field = Self {
            report,
            path,
            key_at: key_at.unwrap_or(&node.at).clone(),
            state: State::Is(node),
        };
        if node.value == Value::Null {
            field.fault("has no value; remove the key for its default");
            field.state = State::Faulty;
        }
        field
    }

    fn scalar(&self, expected: impl FnOnce() -> Option<String>) -> Option<(&'a str, bool)> {
        let State::Is(node) = self.state else {
            return None;
        };
        if let Value::Scalar { text, plain } = &node.value {
            return Some((text, *plain));
        }
        let expected = expected().unwrap_or_else(|| "a text".to_owned());
        self.fault(format!("expected {expected}; got {}", kind(&node.value)));
        None
    }

    fn parsed<T>(&self, text: &str, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|expected| self.fault(format!("expected {expected}; got {}", show(text))))
            .ok()
    }
}

impl<'a> Map<'a> {
    /// The field with this name.
    pub fn get(&self, key: &'static str) -> Field<'a> {
        self.known.borrow_mut().push(key);
        match self.entries.iter().find(|entry| entry.key == key) {
            Some(entry) => self.field(entry),
            None => Field {
                report: self.report,
                path: self.join(key),
                key_at: self.at.clone(),
                state: State::Absent,
            },
        }
    }

    /// Every field, where the user chooses the keys.
    pub fn fields(&mut self) -> Vec<(&'a str, Field<'a>)> {
        self.open = true;
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.field(entry)))
            .collect()
    }

    /// No key of this mapping is unknown: others read the rest.
    pub fn allow_unknown(&mut self) {
        self.open = true;
    }

    fn field(&self, entry: &'a Entry) -> Field<'a> {
        Field::new(
            self.report,
            self.join(&entry.key),
            Some(&entry.at),
            &entry.node,
        )
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl Drop for Map<'_> {
    fn drop(&mut self) {
        if self.open {
            return;
        }
        let known = self.known.borrow();
        for entry in self.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let message = match nearest(&entry.key, &known) {
                Some(key) => format!("unknown key; did you mean {key:?}?"),
                None => "unknown key".to_owned(),
            };
            self.report
                .fault(&entry.at, &self.join(&entry.key), message);
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Scalar { .. } => "a single value",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}

//! YAML (and so JSON) text becomes a tree of nodes that know where they stood.
//!
//! Bounded in size, depth and number of nodes. Anchors, aliases, tags and further documents are
//! refused: a configuration needs none, and each is a way to say other than what one reads.

use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::fault::{At, Origin, Report};

/// The longest text that is read, in bytes.
pub(super) const MAX_TEXT: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 10_000;

/// How a text is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// The longest text, in bytes; a whole number of MiB.
    pub text: usize,
    /// The deepest nesting.
    pub depth: usize,
    /// The most values.
    pub nodes: usize,
    /// Whether anchors and tags are passed over and aliases are nothing: for documents that
    /// weren't written for us, of which little is looked at.
    pub lenient: bool,
}

/// Configurations: short, and meaning what one reads.
const STRICT: Manner = Manner {
    text: MAX_TEXT,
    depth: MAX_DEPTH,
    nodes: MAX_NODES,
    lenient: false,
};

/// A value and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub at: At,
    pub value: Value,
}

/// What YAML can say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing after the key, `~` or `null`.
    Null,
    /// Text; `plain` if it wasn't quoted, and so may be a number or a boolean.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key, where it stood, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub at: At,
    pub node: Node,
}

impl Node {
    /// An unquoted scalar.
    pub fn plain(at: &At, text: impl Into<String>) -> Self {
        Self {
            at: at.clone(),
            value: Value::Scalar {
                text: text.into(),
                plain: true,
            },
        }
    }

    /// A quoted scalar.
    pub fn quoted(at: &At, text: impl Into<String>) -> Self {
        Self {
            at: at.clone(),
            value: Value::Scalar {
                text: text.into(),
                plain: false,
            },
        }
    }

    /// A mapping without keys.
    pub fn mapping(at: &At) -> Self {
        Self {
            at: at.clone(),
            value: Value::Mapping(Vec::new()),
        }
    }

    /// What stands under these keys, if it is there.
    pub fn get(&self, path: &[&str]) -> Option<&Node> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        let Value::Mapping(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|e| e.key == *first)?.node.get(rest)
    }

    /// The items of the sequence under this key; none if there is no sequence.
    pub fn items_mut(&mut self, key: &str) -> &mut [Node] {
        if let Value::Mapping(entries) = &mut self.value
            && let Some(entry) = entries.iter_mut().find(|e| e.key == key)
            && let Value::Sequence(items) = &mut entry.node.value
        {
            return items;
        }
        &mut []
    }

    /// Puts a node under these keys, over what stood there; the mappings on the way are made.
    ///
    /// A path through something that isn't a mapping is left alone: that is a fault elsewhere.
    pub fn set(&mut self, path: &[&str], node: Node) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        let Value::Mapping(entries) = &mut self.value else {
            return;
        };
        if let Some(entry) = entries.iter_mut().find(|e| e.key == *first) {
            if rest.is_empty() {
                entry.at = node.at.clone();
            }
            entry.node.set(rest, node);
            return;
        }
        let at = node.at.clone();
        let mut inner = Node::mapping(&at);
        inner.set(rest, node);
        entries.push(Entry {
            key: (*first).to_owned(),
            at,
            node: inner,
        });
    }
}

/// Parses one document; faults go to the report, and then there is no tree.
///
/// An empty document is [`Value::Null`].
pub(super) fn parse(text: &str, origin: &Arc<Origin>, report: &Report) -> Option<Node> {
    parse_as(STRICT, text, origin, report)
}

/// [`parse`] in another manner.
pub(super) fn parse_as(
    manner: Manner,
    text: &str,
    origin: &Arc<Origin>,
    report: &Report,
) -> Option<Node> {
    let whole = At::new(origin, 1, 1);
    if text.len() > manner.text {
        let (most, length) = (manner.text >> 20, text.len());
        let message = format!("expected at most {most} MiB; got {length} bytes");
        report.fault(&whole, "", message);
        return None;
    }
    let before = report.fault_count();
    let mut builder = Builder {
        manner,
        origin,
        report,
        open: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                if builder.event(event, span.start).is_err() {
                    return None;
                }
            }
            Err(error) => {
                let at = builder.at(error.marker());
                report.fault(&at, "", format!("not YAML: {}", error.info()));
                return None;
            }
        }
    }
    let root = builder.root.take().unwrap_or(Node {
        at: whole,
        value: Value::Null,
    });
    (report.fault_count() == before).then_some(root)
}

/// A collection that isn't closed yet.
enum Open {
    Sequence(At, Vec<Node>),
    Mapping(At, Vec<Entry>, Option<(String, At)>),
}

/// Reading can't go on; the report says why.
struct Stop;

struct Builder<'a> {
    manner: Manner,
    origin: &'a Arc<Origin>,
    report: &'a Report,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    fn at(&self, mark: &Marker) -> At {
        At::new(self.origin, mark.line(), mark.col() + 1)
    }

    fn event(&mut self, event: Event<'_>, mark: Marker) -> Result<(), Stop> {
        let at = self.at(&mark);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.report
                        .fault(&at, "", "expected one document; here starts a second");
                    return Err(Stop);
                }
            }
            Event::Alias(_) if self.manner.lenient => {
                let value = Value::Null;
                self.add(Node { at, value })?;
            }
            Event::Alias(_) => {
                self.report
                    .fault(&at, "", "aliases aren't allowed; write the value out");
                self.add(Node::plain(&at, ""))?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorations(&at, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Value::Null
                } else {
                    Value::Scalar {
                        text: text.into_owned(),
                        plain,
                    }
                };
                self.add(Node { at, value })?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorations(&at, anchor, tag.is_some());
                self.push(Open::Sequence(at, Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.decorations(&at, anchor, tag.is_some());
                self.push(Open::Mapping(at, Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn decorations(&self, at: &At, anchor: usize, tagged: bool) {
        if self.manner.lenient {
            return;
        }
        if anchor != 0 {
            self.report.fault(at, "", "anchors aren't allowed");
        }
        if tagged {
            self.report.fault(at, "", "tags aren't allowed");
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Stop> {
        let most = self.manner.depth;
        if self.open.len() >= most {
            let (Open::Sequence(at, _) | Open::Mapping(at, _, _)) = &open;
            let message = format!("nested deeper than {most} levels");
            self.report.fault(at, "", message);
            return Err(Stop);
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        match self.open.pop() {
            Some(Open::Sequence(at, items)) => self.add(Node {
                at,
                value: Value::Sequence(items),
            }),
            Some(Open::Mapping(at, entries, _)) => self.add(Node {
                at,
                value: Value::Mapping(entries),
            }),
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node) -> Result<(), Stop> {
        self.nodes += 1;
        let most = self.manner.nodes;
        if self.nodes > most {
            let message = format!("more than {most} values");
            self.report.fault(&node.at, "", message);
            return Err(Stop);
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence(_, items)) => items.push(node),
            Some(Open::Mapping(_, entries, pending)) => match pending.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *pending = Some((text, node.at)),
                    _ => {
                        self.report.fault(&node.at, "", "expected a key");
                        return Err(Stop);
                    }
                },
                Some((key, at)) => {
                    if let Some(first) = entries.iter().find(|e| e.key == key) {
                        let message =
                            format!("{key:?} stands here twice; first in line {}", first.at.line);
                        self.report.fault(&at, "", message);
                    } else {
                        entries.push(Entry { key, at, node });
                    }
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{MAX_NODES, MAX_TEXT, Node, Value, parse};
    use crate::config::fault::{At, Origin, Report};

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let (origin, report) = (
            Arc::new(Origin::File(PathBuf::from("f"))),
            Report::default(),
        );
        let node = parse(text, &origin, &report);
        let faults = report.finish().faults;
        (node, faults.iter().map(ToString::to_string).collect())
    }

    fn text(node: &Node, path: &[&str]) -> Option<(String, bool, usize, usize)> {
        let node = node.get(path)?;
        match &node.value {
            Value::Scalar { text, plain } => {
                Some((text.clone(), *plain, node.at.line, node.at.column))
            }
            _ => None,
        }
    }

    #[test]
    fn nodes_know_where_they_stood_and_how_they_were_written() {
        let (node, faults) = read("a:\n  b: 1\n  c: \"1\"\n");
        assert!(faults.is_empty());
        let node = node.unwrap();
        assert_eq!(text(&node, &["a", "b"]), Some(("1".into(), true, 2, 6)));
        assert_eq!(text(&node, &["a", "c"]), Some(("1".into(), false, 3, 6)));
        assert_eq!(text(&node, &["a", "d"]), None);
    }

    #[test]
    fn json_is_read_too() {
        let (node, faults) = read("{\"a\": {\"b\": [1, null]}, \"c\":true}");
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            text(&node.unwrap(), &["c"]),
            Some(("true".into(), true, 1, 29))
        );
    }

    #[test]
    fn only_unquoted_nothing_is_null() {
        let (node, _) = read("a:\nb: ~\nc: null\nd: 'null'\ne: ''\n");
        let node = node.unwrap();
        for key in ["a", "b", "c"] {
            assert_eq!(node.get(&[key]).unwrap().value, Value::Null, "{key}");
        }
        assert!(text(&node, &["d"]).is_some());
        assert!(text(&node, &["e"]).is_some());
        assert_eq!(read("").0.unwrap().value, Value::Null);
    }

    #[test]
    fn reading_is_bounded() {
        let (node, faults) = read(&" ".repeat(MAX_TEXT + 1));
        assert!(node.is_none());
        assert!(faults[0].contains("at most 1 MiB"), "{faults:?}");
        let (node, faults) = read(&"- 1\n".repeat(MAX_NODES + 1));
        assert!(node.is_none());
        assert!(faults[0].contains("more than"), "{faults:?}");
    }

    #[test]
    fn a_key_has_to_be_a_scalar() {
        for text in ["? [a]\n: b\n", "{a: b}: c\n", "? {a: b}\n: c\n"] {
            assert!(read(text).0.is_none(), "{text}");
        }
    }

    #[test]
    fn setting_makes_the_way_and_replaces_what_stood_there() {
        let at = At::origin(Origin::CommandLine);
        let mut node = read("a: {b: 1, s: x}\n").0.unwrap();
        node.set(&["a", "b"], Node::plain(&at, "2"));
        node.set(&["c", "d"], Node::plain(&at, "3"));
        node.set(&["a", "s", "t"], Node::plain(&at, "4"));
        assert_eq!(text(&node, &["a", "b"]), Some(("2".into(), true, 0, 0)));
        assert_eq!(text(&node, &["c", "d"]), Some(("3".into(), true, 0, 0)));
        assert_eq!(text(&node, &["a", "s"]), Some(("x".into(), true, 1, 14)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in "([-a:?,|>#&*!%'\"{}\\[\\]\n\t \u{feff}é0]|: |- |\n  ){0,60}",
        ) {
            let (node, faults) = read(&text);
            prop_assert_eq!(node.is_none(), !faults.is_empty());
        }
    }
}

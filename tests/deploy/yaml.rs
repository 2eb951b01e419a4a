//! YAML documents as JSON values, for manifests as kustomize writes them.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// A collection that isn't complete, with the key that waits for its value.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// All documents of a text.
pub fn documents(text: &str) -> Vec<Value> {
    let (mut documents, mut open) = (Vec::new(), Vec::new());
    for event in Parser::new_from_str(text) {
        let (event, at) = event.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let complete = match event {
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Map(map, None)) => Value::Object(map),
                _ => panic!("an end without its start at {at:?}"),
            },
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::Alias(_) => panic!("an alias at {at:?}"),
            _ => continue,
        };
        match open.last_mut() {
            None => documents.push(complete),
            Some(Open::List(list)) => list.push(complete),
            Some(Open::Map(map, key)) => match key.take() {
                Some(key) => {
                    assert!(map.insert(key, complete).is_none(), "a key twice at {at:?}");
                }
                None => *key = Some(complete.as_str().expect("a key that is text").to_owned()),
            },
        }
    }
    documents
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Into::into),
    }
}

//! Copies what is to be seen of a sampled request's fields into its record; bounded.

use http::HeaderName;

use super::describe::visible;
use super::head::Head;
use super::settings::Settings;
use crate::span::capture::{Capture, Captured, MAX_CAPTURED, MAX_VALUE, MAX_VALUES, Side};
use crate::span::record::{Record, cut};

/// The longest audit id that is kept, as in the API server's own spans.
const MAX_AUDIT_ID: usize = 64;

/// A request's fields, as they go on to the upstream.
pub fn request(settings: &Settings, headers: &impl Head, record: &mut Record) {
    copy(&settings.capture.request, Side::Request, headers, record);
    audit_id(headers, record);
}

/// A response's fields, as they go on to the caller.
pub fn response(capture: Option<&Capture>, headers: &impl Head, record: &mut Record) {
    if let Some(capture) = capture {
        copy(&capture.response, Side::Response, headers, record);
    }
    audit_id(headers, record);
}

/// The id of a request in the audit log of the Kubernetes API.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The API server answers with the id it uses: the caller's, or one of its own.
fn audit_id(headers: &impl Head, record: &mut Record) {
    if record.routes.kubernetes.is_none() {
        return;
    }
    if let Some(id) = headers.first(&AUDIT_ID).and_then(audited) {
        record.audit_id = Some(id.into());
    }
}

/// An audit id, if the value is one; cut.
pub fn audited(value: &[u8]) -> Option<&str> {
    let graphic = |id: &&str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
    visible(value)
        .filter(graphic)
        .map(|id| cut(id, MAX_AUDIT_ID))
}

fn copy(names: &[HeaderName], side: Side, headers: &impl Head, record: &mut Record) {
    for name in names {
        for value in headers.lines(name) {
            if !keep(name, side, value, &mut record.captured) {
                break;
            }
        }
    }
}

/// Keeps one value; false if no more of this field can be kept.
pub fn keep(name: &HeaderName, side: Side, value: &[u8], kept: &mut Vec<Captured>) -> bool {
    let all = kept.iter().flat_map(|field| &field.values);
    let left = MAX_CAPTURED.saturating_sub(all.map(|value| value.len()).sum());
    // Whole, so that a cut finds the characters' boundaries; heads are bounded.
    let text = String::from_utf8_lossy(value);
    let text = cut(&text, MAX_VALUE.min(left));
    if text.is_empty() && !value.is_empty() {
        return false;
    }
    let field = kept
        .iter_mut()
        .find(|field| field.side == side && field.name == *name);
    match field {
        Some(field) if field.values.len() >= MAX_VALUES => return false,
        Some(field) => field.values.push(text.into()),
        None => kept.push(Captured {
            side,
            name: name.clone(),
            values: vec![text.into()],
        }),
    }
    true
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::span::capture::MAX_FIELDS;

    fn captured(names: &[&'static str], lines: &[(&'static str, Vec<u8>)]) -> Vec<Captured> {
        let names: Vec<_> = names.iter().map(|n| HeaderName::from_static(n)).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        let mut kept = Vec::new();
        for name in &names {
            for value in headers.lines(name) {
                if !keep(name, Side::Request, value, &mut kept) {
                    break;
                }
            }
        }
        kept
    }

    fn values(kept: &[Captured]) -> Vec<(&str, Vec<&str>)> {
        let texts = |field: &Captured| field.values.iter().map(|v| v.len()).collect::<Vec<_>>();
        assert!(kept.iter().all(|field| !texts(field).is_empty()));
        kept.iter()
            .map(|field| {
                let values = field.values.iter().map(|value| &**value).collect();
                (field.name.as_str(), values)
            })
            .collect()
    }

    #[test]
    fn only_listed_fields_are_kept_in_the_order_of_their_values() {
        let lines = [
            ("x-b", b"1".to_vec()),
            ("x-a", b"2".to_vec()),
            ("x-c", b"3".to_vec()),
            ("x-b", b"4, 5".to_vec()),
            ("x-empty", Vec::new()),
        ];
        let kept = captured(&["x-a", "x-b", "x-empty", "x-none"], &lines);
        assert_eq!(
            values(&kept),
            [
                ("x-a", vec!["2"]),
                ("x-b", vec!["1", "4, 5"]),
                ("x-empty", vec![""])
            ]
        );
    }

    #[test]
    fn values_are_cut_at_a_character_and_counted() {
        let long = "aä".repeat(MAX_VALUE).into_bytes();
        let lines = vec![("x-a", long); MAX_VALUES + 3];
        let kept = captured(&["x-a"], &lines);
        assert_eq!(kept[0].values.len(), MAX_VALUES);
        for value in &kept[0].values {
            assert!(value.len() <= MAX_VALUE && value.len() > MAX_VALUE - 2);
            assert!(value.ends_with(['a', 'ä']), "no broken character");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let kept = captured(&["x-a"], &[("x-a", b"a\xffb".to_vec())]);
        assert_eq!(values(&kept), [("x-a", vec!["a\u{fffd}b"])]);
    }

    #[test]
    fn a_record_keeps_no_more_than_its_share() {
        const NAMES: [&str; 4] = ["x-a", "x-b", "x-c", "x-d"];
        let lines: Vec<_> = NAMES
            .iter()
            .flat_map(|name| vec![(*name, vec![b'v'; MAX_VALUE]); MAX_VALUES])
            .collect();
        let kept = captured(&NAMES, &lines);
        let total: usize = kept.iter().flat_map(|f| &f.values).map(|v| v.len()).sum();
        assert_eq!(total, MAX_CAPTURED);
        assert!(kept.len() < NAMES.len() && NAMES.len() <= MAX_FIELDS);
    }
}

use super::sample::{client, server};
use super::*;

const MS: Duration = Duration::from_millis(1);

const STYLE: Style = Style {
    width: 80,
    colour: false,
};

/// frontend/in → frontend/out → backend/in, as the demo makes them.
fn three() -> Vec<Span> {
    let mut root = server(0xa, 1, None);
    root.service = "frontend".to_owned();
    root.target = Some("/slow".to_owned());
    root.end = root.start + 100 * MS;
    let mut call = client(0xa, 2, Some(1));
    call.start += 10 * MS;
    call.end = call.start + 80 * MS;
    let mut end = server(0xa, 3, Some(2));
    end.start += 50 * MS;
    end.end = end.start + 40 * MS;
    // Spans come in the order they end.
    vec![end, call, root]
}

#[test]
fn a_trace_is_an_indented_tree_with_bars_on_one_scale() {
    assert_eq!(
        lines(&three(), STYLE),
        [
            "trace 0000000000000000000000000000000a  100 ms, 3 spans",
            "  SERVER GET /slow                 frontend/in  ━━━━━━━━━━━   100 ms 200",
            "  └─ CLIENT GET /stock             frontend/out  ━━━━━━━━━   80.0 ms 200",
            "     └─ SERVER GET /stock          backend/in        ━━━━━   40.0 ms 200",
        ]
    );
}

#[test]
fn siblings_stand_in_the_order_they_began() {
    let mut spans = three();
    let mut later = client(0xa, 4, Some(1));
    later.start += 95 * MS;
    later.end = later.start;
    later.target = Some("/second".to_owned());
    spans.insert(0, later);
    let lines = lines(&spans, STYLE);
    assert!(
        lines[2].starts_with("  ├─ CLIENT GET /stock "),
        "{lines:#?}"
    );
    assert!(lines[3].starts_with("  │  └─ SERVER"), "{lines:#?}");
    assert!(
        lines[4].starts_with("  └─ CLIENT GET /second"),
        "{lines:#?}"
    );
}

#[test]
fn a_restart_is_shown_as_one_under_its_span() {
    let mut spans = three();
    spans[2].dropped = Some((0xbad_u128.into(), true));
    let lines = lines(&spans, STYLE);
    assert_eq!(
        lines[2],
        "  │ ↳ untrusted context of the caller was dropped (trace"
    );
    assert_eq!(
        lines[3],
        "  │   00000000000000000000000000000bad, sampled): the trace restarts here, a"
    );
    assert_eq!(lines[4], "  │   link remembers the old one");
    assert!(lines[5].contains("CLIENT"), "{lines:#?}");
}

#[test]
fn a_client_span_without_a_parent_says_that_the_component_forgot_the_context() {
    let spans = [client(0xa, 2, None), server(0xa, 3, Some(2))];
    let lines = lines(&spans, STYLE).join("\n");
    assert!(
        lines.contains("↳ the component handed on no context"),
        "{lines}"
    );
    let whole = super::lines(&three(), STYLE).join("\n");
    assert!(!whole.contains('↳'), "{whole}");
}

#[test]
fn a_stream_is_remarked_on_once() {
    let mut spans = three();
    for span in &mut spans {
        span.headers = Some(MS * 3);
    }
    let lines = lines(&spans, STYLE);
    assert_eq!(
        lines[2],
        "  │ ↳ a stream: the head of the answer came after 3.00 ms"
    );
    assert_eq!(lines.iter().filter(|line| line.contains('↳')).count(), 1);
}

#[test]
fn an_error_is_red_and_the_rest_is_not() {
    let mut spans = three();
    spans[0].failed = true;
    spans[0].status = "500".to_owned();
    let colour = Style {
        colour: true,
        ..STYLE
    };
    let lines = lines(&spans, colour);
    assert!(lines[3].ends_with("\u{1b}[31m500\u{1b}[0m"), "{lines:?}");
    assert!(!lines[2].contains("\u{1b}[31m"), "{lines:?}");
}

#[test]
fn a_span_whose_parent_never_came_stands_at_the_top() {
    let lines = lines(&three()[..2], STYLE);
    assert!(lines[1].starts_with("  CLIENT"), "{lines:#?}");
    assert!(lines[2].starts_with("  └─ SERVER"), "{lines:#?}");
}

#[test]
fn spans_that_claim_to_be_each_others_parents_end_the_tree() {
    let mut spans = three();
    spans.push(client(0xa, 3, Some(1)));
    spans.push(client(0xa, 1, Some(3)));
    assert!(lines(&spans, STYLE).len() <= spans.len() + 3);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut spans = three();
    spans[0].target = Some("/a/very/long/path".repeat(20));
    spans[0].status = "response_header_timeout".to_owned();
    spans[2].dropped = Some((0xbad_u128.into(), false));
    for width in 1..200 {
        let style = Style { width, ..STYLE };
        for line in lines(&spans, style) {
            let columns = line.chars().count();
            assert!(columns <= width, "{columns} > {width}: {line}");
        }
    }
}

#[test]
fn a_trace_that_took_no_time_has_bars_all_the_same() {
    let mut span = server(0xa, 1, None);
    span.end = span.start;
    let line = &lines(&[span], STYLE)[1];
    assert!(line.contains('━'), "{line}");
}

#[test]
fn durations_have_three_digits() {
    for (micros, expected) in [
        (420, "0.42 ms"),
        (9_994, "9.99 ms"),
        (12_340, "12.3 ms"),
        (251_400, "251 ms"),
        (999_700, "1.00 s"),
        (61_000_000, "61.00 s"),
    ] {
        assert_eq!(duration(Duration::from_micros(micros)), expected);
    }
}

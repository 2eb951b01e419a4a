use super::*;

/// A string literal; `coded` is the text in Huffman coding.
fn raw(text: &str) -> Vec<u8> {
    assert!(text.len() < 127);
    let mut out = vec![text.len() as u8];
    out.extend(text.bytes());
    out
}

fn field(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![first];
    parts.iter().for_each(|part| out.extend(*part));
    out
}

/// So many zeros in Huffman coding, with their length.
fn zeros(count: usize) -> Vec<u8> {
    let mut out = vec![0; huffman::zeros_len(count)];
    huffman::zeros(count, &mut out);
    let mut whole = vec![0x80 | out.len() as u8];
    whole.extend(out);
    whole
}

/// `:method: POST`, `:scheme: http`, `:path` as a literal.
fn before() -> Vec<u8> {
    let mut out = vec![0x83, 0x86];
    out.extend(field(0x44, &[&raw("/runtime.v1.RuntimeService/Version")]));
    out
}

/// The block as it is after.
fn settled(block: &[u8]) -> Vec<u8> {
    let mut after = block.to_vec();
    let lost = settle(&mut after);
    after.truncate(block.len() - lost);
    after
}

const PATH: &str = "/run/containerd/containerd.sock";

/// `PATH` in Huffman coding.
const CODED_PATH: [u8; 23] = [
    0x80 | 22,
    0x62,
    0xcb,
    0x6a,
    0x60,
    0x87,
    0xa9,
    0x23,
    0x35,
    0x45,
    0xb2,
    0x46,
    0x08,
    0x7a,
    0x92,
    0x33,
    0x54,
    0x5b,
    0x24,
    0x5d,
    0x07,
    0x27,
    0x5f,
];

#[test]
fn an_authority_that_is_none_becomes_as_many_zeros() {
    let coded_name = field(0x88, &[&CODED_NAME]);
    let percent = "%2Frun%2Fcontainerd%2Fcontainerd.sock";
    let long = "/x".repeat(63);
    for (first, name, value, count, reason) in [
        (0x41, &[][..], raw(PATH), 31, "a path, to be indexed"),
        (0x01, &[], raw(PATH), 31, "a path, not to be indexed"),
        (0x11, &[], raw(PATH), 31, "a path, never to be indexed"),
        (0x41, &[], raw(percent), percent.len(), "percent-encoded"),
        (
            0x41,
            &[],
            CODED_PATH.to_vec(),
            31,
            "Huffman coding, as Go has it",
        ),
        (
            0x40,
            &raw(":authority"),
            raw(PATH),
            31,
            "the name as text, as gRPC's C core has it",
        ),
        (
            0x40,
            &coded_name,
            raw(PATH),
            31,
            "the name in Huffman coding",
        ),
        (0x41, &[], raw("/"), 1, "the shortest"),
        (0x41, &[], raw("unix:///run/x.sock"), 18, "a target"),
        (0x41, &[], raw("a:1:2"), 5, "no port"),
        (0x41, &[], raw(&long), 126, "a long path"),
    ] {
        let mut block = before();
        block.extend(field(first, &[name, &value]));
        block.extend(field(0x40, &[&raw("te"), &raw("trailers")]));
        let mut expected = before();
        expected.extend(field(first, &[name, &zeros(count)]));
        expected.extend(field(0x40, &[&raw("te"), &raw("trailers")]));
        assert_eq!(settled(&block), expected, "{reason}");
    }
}

#[test]
fn an_empty_authority_is_taken_out_unless_it_is_to_be_indexed() {
    for (authority, reason) in [
        (&[0x81][..], "the static table's"),
        (&[0x01, 0x00], "a literal"),
        (&[0x11, 0x80], "of no Huffman code"),
    ] {
        let mut block = before();
        block.extend(authority);
        block.extend([0x10, 1, b'a', 1, b'b']);
        let mut expected = before();
        expected.extend([0x10, 1, b'a', 1, b'b']);
        assert_eq!(settled(&block), expected, "{reason}");
    }
    let indexed = [before(), vec![0x41, 0x00]].concat();
    assert_eq!(settled(&indexed), indexed, "an entry would be missing");
}

#[test]
fn what_is_an_authority_or_cannot_be_read_stays_as_it_is() {
    let too_long = [&[0x7f, 0xc1, 0x02][..], "/".repeat(LONGEST + 64).as_bytes()].concat();
    for (rest, reason) in [
        (field(0x41, &[&raw("localhost")]), "a name"),
        (field(0x41, &[&raw("containerd.sock")]), "a file's name"),
        (field(0x41, &[&raw("[::1]:80")]), "an address"),
        (field(0x41, &[&raw("00000")]), "zeros"),
        (vec![0xbe], "a reference to an entry made before"),
        (
            field(0x41, &[&raw("/a\r\nb")]),
            "no path either: a line break",
        ),
        (field(0x41, &[&raw("/é")]), "no path either: not ASCII"),
        (field(0x41, &[&too_long]), "longer than any path"),
        (field(0x41, &[&[0x05, b'/']]), "longer than the block"),
        (
            field(0x41, &[&[0xff, 0x80, 0x80, 0x80, 0x80, 0x01]]),
            "a length that is too long",
        ),
        (field(0x41, &[&[0x81, 0x60]]), "wrong padding"),
        (field(0x41, &[]), "no value"),
        (field(0x40, &[&[0x0a, b':']]), "a name that is cut off"),
        (vec![0xff], "an index that is cut off"),
        (vec![0x3f], "a size that is cut off"),
        (vec![], "nothing"),
        (field(0x44, &[&raw("/run/x")]), "another field"),
        (
            field(0x40, &[&raw(":authoritx"), &raw("/x")]),
            "another name",
        ),
    ] {
        let block = [before(), rest].concat();
        assert_eq!(settled(&block), block, "{reason}");
    }
    let late = [vec![0x88; FIELDS], field(0x41, &[&raw("/x")])].concat();
    assert_eq!(settled(&late), late, "behind the pseudo-header fields");
}

#[test]
fn changes_of_the_tables_size_may_come_first() {
    let sizes = [0x20, 0x3f, 0xe1, 0x1f];
    let block = [&sizes[..], &field(0x41, &[&raw("/x")])].concat();
    let expected = [&sizes[..], &field(0x41, &[&zeros(2)])].concat();
    assert_eq!(settled(&block), expected);
}

#[test]
fn the_longest_value_that_is_judged_becomes_zeros_of_the_same_number() {
    let text = "/".repeat(LONGEST);
    // 384 is 127 and 257, which is 1 and twice 128.
    let block = [&[0x41, 0x7f, 0x81, 0x02][..], text.as_bytes()].concat();
    let after = settled(&block);
    let length = huffman::zeros_len(LONGEST);
    assert_eq!(after[..3], [0x41, 0xff, (length - 127) as u8]);
    let mut out = [0; LONGEST];
    assert_eq!(huffman::decode(&after[3..], &mut out), Some(LONGEST));
    assert_eq!(out, [b'0'; LONGEST]);
}

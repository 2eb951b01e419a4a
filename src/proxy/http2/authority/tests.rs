use std::future::poll_fn;

use h2::server;
use http::Request;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::*;
use crate::listen::sniff::PREFACE;

/// A frame of this kind.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A request's block: GET http with this `:authority` (its representation) and a path.
fn block(authority: &[u8]) -> Vec<u8> {
    let path = [0x04, 2, b'/', b'p'];
    [
        &[0x82, 0x86][..],
        &path,
        authority,
        &[0x00, 1, b'a', 1, b'b'],
    ]
    .concat()
}

fn literal(first: u8, value: &str) -> Vec<u8> {
    [&[first, value.len() as u8][..], value.as_bytes()].concat()
}

const HEADERS: u8 = 1;
const END: u8 = 0x5;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

fn preface() -> Vec<u8> {
    [PREFACE.to_vec(), frame(4, 0, 0, &[])].concat()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// What comes out for what goes in, in pieces of these sizes.
fn through(bytes: &[u8], pieces: &[usize]) -> Vec<u8> {
    runtime().block_on(async {
        let (mut writer, reader) = tokio::io::duplex(1 << 20);
        let mut lenient = Lenient::new(reader);
        let mut out = Vec::new();
        let mut sizes = pieces.iter().copied().cycle();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            writer.write_all(piece).await.expect("room");
            rest = behind;
            // Whatever can be read is, so that frames are cut where pieces end.
            let mut space = [0; 8192];
            let mut buf = ReadBuf::new(&mut space);
            poll_fn(|cx| {
                let _ = Pin::new(&mut lenient).poll_read(cx, &mut buf);
                Poll::Ready(())
            })
            .await;
            out.extend(buf.filled());
        }
        drop(writer);
        lenient.read_to_end(&mut out).await.expect("a stream");
        out
    })
}

/// How the engine takes a connection's bytes: the requests, and why it ended if it did.
fn taken(bytes: &[u8], lenient: bool) -> (Vec<Request<()>>, Option<h2::Reason>) {
    /// Until nothing more is to be read.
    async fn all<S: AsyncRead + AsyncWrite + Unpin>(
        io: S,
    ) -> (Vec<Request<()>>, Option<h2::Reason>) {
        let mut requests = Vec::new();
        let mut served = match server::handshake(io).await {
            Ok(served) => served,
            Err(error) => return (requests, error.reason()),
        };
        let mut open = Vec::new();
        let accept = poll_fn(|cx| {
            loop {
                match served.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        let (parts, body) = request.into_parts();
                        requests.push(Request::from_parts(parts, ()));
                        open.push((body, respond));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(error.reason()),
                    Poll::Ready(None) | Poll::Pending => return Poll::Ready(None),
                }
            }
        });
        let ended = tokio::task::unconstrained(accept).await;
        (requests, ended)
    }
    runtime().block_on(async {
        let (mut writer, reader) = tokio::io::duplex(1 << 20);
        writer.write_all(bytes).await.expect("room");
        if lenient {
            all(Lenient::new(reader)).await
        } else {
            all(reader).await
        }
    })
}

/// The authorities of requests, as they are settled.
fn settled(requests: Vec<Request<()>>) -> Vec<String> {
    let named = requests.into_iter().map(|request| {
        let (mut parts, ()) = request.into_parts();
        settle(&mut parts);
        assert_eq!(parts.uri.path(), "/p");
        let host = parts.headers.get("host").map(|h| h.to_str().unwrap());
        let authority = parts.uri.authority().map(Authority::as_str);
        authority.or(host).unwrap_or_default().to_owned()
    });
    named.collect()
}

#[test]
fn every_form_of_authority_becomes_one_and_later_references_mean_the_same() {
    let path = "/run/containerd/containerd.sock";
    let indexed = [0xbe];
    for (authority, expected, reason) in [
        (literal(0x41, path), "localhost", "a path"),
        (literal(0x41, "%2Frun%2Fx"), "localhost", "percent-encoded"),
        (vec![0x81], "localhost", "an empty one"),
        (vec![], "localhost", "none"),
        (literal(0x41, "localhost"), "localhost", "a name"),
        (
            literal(0x41, "containerd.sock"),
            "containerd.sock",
            "a file's name",
        ),
        (
            literal(0x41, "example.com:80"),
            "example.com:80",
            "a name and a port",
        ),
        (literal(0x0f, "x"), "", "a host, for want of an authority"),
    ] {
        // 0x0f 0x17 is a literal of the static table's `host`.
        let authority = match &authority[..] {
            [0x0f, rest @ ..] => [&[0x0f, 23][..], rest].concat(),
            _ => authority,
        };
        let expected = if expected.is_empty() { "x" } else { expected };
        let mut bytes = preface();
        bytes.extend(frame(HEADERS, END, 1, &block(&authority)));
        let mut count = 1;
        if authority.first() == Some(&0x41) {
            bytes.extend(frame(HEADERS, END, 3, &block(&indexed)));
            count = 2;
        }
        let (requests, error) = taken(&bytes, true);
        assert_eq!(error, None, "{reason}");
        assert_eq!(settled(requests), vec![expected; count], "{reason}");
    }
}

#[test]
fn the_table_of_both_sides_stays_the_same_when_entries_are_evicted() {
    // A table of 128 bytes holds one authority of 31 bytes and one other entry.
    let path = "/run/containerd/containerd.sock";
    let mut bytes = preface();
    let first = [&[0x3f, 0x61][..], &block(&literal(0x41, path))].concat();
    bytes.extend(frame(HEADERS, END, 1, &first));
    // 32 + 1 + 22 bytes: with the authority's 73 exactly 128. Both are there.
    let with = |value: &str, authority: u8| {
        let other = [&[0x40, 1, b'o'][..], &literal(0, value)[1..]].concat();
        [&[0x82, 0x86, 0x04, 2, b'/', b'p', authority][..], &other].concat()
    };
    let fits = with(&"v".repeat(22), 0xbe);
    bytes.extend(frame(HEADERS, END, 3, &fits));
    bytes.extend(frame(HEADERS, END, 5, &block(&[0xbf])));
    // One byte more, and the authority is gone.
    bytes.extend(frame(HEADERS, END, 7, &with(&"v".repeat(23), 0xbf)));
    let (requests, error) = taken(&bytes, true);
    assert_eq!((requests.len(), error), (4, None));
    assert_eq!(settled(requests), ["localhost"; 4]);
    bytes.extend(frame(HEADERS, END, 9, &block(&[0xc0])));
    let (_, error) = taken(&bytes, true);
    assert_eq!(error, Some(h2::Reason::PROTOCOL_ERROR), "no such entry");
}

#[test]
fn padding_and_priority_stay_where_they_are() {
    let mut payload = vec![3, 0, 0, 0, 0, 16];
    payload.extend(block(&literal(0x41, "/run/x.sock")));
    payload.extend([0; 3]);
    let mut bytes = preface();
    bytes.extend(frame(HEADERS, END | PADDED | PRIORITY, 1, &payload));
    bytes.extend(frame(HEADERS, END, 3, &block(&[0xbe])));
    let (requests, error) = taken(&bytes, true);
    assert_eq!(error, None);
    assert_eq!(settled(requests), ["localhost"; 2]);
}

#[test]
fn a_frame_that_does_not_end_is_given_on_at_the_streams_end() {
    let whole = [
        preface(),
        frame(HEADERS, END, 1, &block(&literal(0x41, "/x"))),
    ]
    .concat();
    for cut in 0..whole.len() {
        assert_eq!(through(&whole[..cut], &[7]), whole[..cut], "{cut}");
    }
}

#[test]
fn a_head_longer_than_a_frame_may_be_is_not_waited_for() {
    let mut bytes = preface();
    bytes.extend([0xff, 0xff, 0xff, HEADERS, END, 0, 0, 0, 1, 0x41]);
    runtime().block_on(async {
        let (mut writer, reader) = tokio::io::duplex(1 << 20);
        let mut lenient = Lenient::new(reader);
        writer.write_all(&bytes).await.expect("room");
        let mut read = vec![0; bytes.len()];
        lenient
            .read_exact(&mut read)
            .await
            .expect("nothing is held");
        assert_eq!(read, bytes);
    });
}

/// Frames of all kinds, some of them with an authority that is none; and what they become.
fn frames() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let other = (any::<u8>(), body).prop_filter_map("a head", |(kind, payload)| {
        (kind != HEADERS).then(|| {
            let frame = frame(kind, 0, 1, &payload);
            (frame.clone(), frame)
        })
    });
    let zeros = |count: usize| {
        let mut out = vec![0; (count * 5).div_ceil(8)];
        let padding = out.len() * 8 - count * 5;
        *out.last_mut().expect("a byte") = (1_u16 << padding) as u8 - 1;
        [&[0x41, 0x80 | out.len() as u8][..], &out].concat()
    };
    let foreign = "/[a-z./%]{0,100}".prop_map(move |text| {
        let (before, after) = (literal(0x41, &text), zeros(text.len()));
        let head = |authority: &[u8]| frame(HEADERS, END, 1, &block(authority));
        (head(&before), head(&after))
    });
    let named = "[a-z]{1,20}(:[0-9]{1,5})?".prop_map(|text| {
        let head = frame(HEADERS, END, 1, &block(&literal(0x41, &text)));
        (head.clone(), head)
    });
    prop::collection::vec(prop_oneof![other, foreign, named], 0..20)
}

proptest! {
    #[test]
    fn however_bytes_are_cut_only_foreign_authorities_change(
        frames in frames(),
        pieces in prop::collection::vec(1_usize..300, 1..8),
    ) {
        let (before, after): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        let sent = [PREFACE.to_vec(), before.concat()].concat();
        let expected = [PREFACE.to_vec(), after.concat()].concat();
        prop_assert_eq!(through(&sent, &pieces), expected);
    }

    #[test]
    fn whatever_comes_nothing_is_lost_but_what_was_settled(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        pieces in prop::collection::vec(1_usize..300, 1..8),
    ) {
        let sent = [PREFACE.to_vec(), bytes].concat();
        let whole = through(&sent, &[usize::MAX]);
        prop_assert!(whole.len() <= sent.len());
        prop_assert_eq!(through(&sent, &pieces), whole);
    }

    /// Blocks of random bytes, and of random representations, are taken as they are elsewhere,
    /// unless the engine would have refused an authority.
    #[test]
    fn the_engine_takes_everything_else_as_it_does_elsewhere(
        blocks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                prop::collection::vec(
                    prop_oneof![
                        Just(vec![0x82]), Just(vec![0x86]), Just(vec![0x84]), Just(vec![0xbe]),
                        Just(vec![0xbf]), Just(vec![0x20]), Just(vec![0x3f, 0x61]),
                        Just(literal(0x41, "a")), Just(literal(0x41, "b.example")),
                        Just(literal(0x01, "c:1")), Just(vec![0x40, 1, b'x', 1, b'y']),
                        Just(literal(0x40, ":authority")), any::<u8>().prop_map(|b| vec![b]),
                    ],
                    0..12,
                ).prop_map(|parts| parts.concat()),
            ],
            1..6,
        ),
    ) {
        let mut bytes = preface();
        for (index, block) in blocks.iter().enumerate() {
            let mut shortened = block.clone();
            // Such a block is another one after it was settled.
            prop_assume!(block::settle(&mut shortened) == 0 && shortened == *block);
            bytes.extend(frame(HEADERS, END, 1 + 2 * index as u32, block));
        }
        let (lenient, as_lenient) = taken(&bytes, true);
        let (strict, as_strict) = taken(&bytes, false);
        let shown = |requests: Vec<Request<()>>| format!("{requests:?}");
        prop_assert_eq!(shown(lenient), shown(strict));
        prop_assert_eq!(as_lenient, as_strict);
    }
}

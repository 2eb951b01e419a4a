use super::*;

#[test]
fn texts_come_back_as_they_were_up_to_what_a_record_keeps() {
    let mut texts = Texts::default();
    let long = "ä".repeat(MAX_TEXT);
    let pieces = ["GET", "", &long, "/a"].map(|text| texts.put(text.as_bytes()));
    assert_eq!(texts.text(pieces[0]), "GET");
    assert_eq!(texts.text(pieces[1]), "");
    assert_eq!(
        text(texts.text(pieces[2])),
        text(&long),
        "as if it were whole"
    );
    assert_eq!(texts.text(pieces[3]), "/a");
    let odd = texts.put(b"/a\xc3");
    assert_eq!(texts.text(odd), "/a", "half a character isn't one");
}

#[test]
fn lines_of_one_field_are_joined() {
    let mut texts = Texts::default();
    let none = texts.join([].into_iter());
    assert_eq!(texts.get(none), b"");
    let two = texts.join([&b"a=1"[..], b"b=2,c=3"].into_iter());
    assert_eq!(texts.get(two), b"a=1,b=2,c=3");
}

#[test]
fn a_box_that_held_much_gives_memory_back() {
    let pool = Pool::default();
    let mut held = pool.take();
    for _ in 0..100 {
        held.texts.put(&[b'a'; MAX_TEXT]);
    }
    held.resends = 1;
    pool.give(held);
    let held = pool.take();
    assert!(held.texts.0.is_empty() && held.texts.0.capacity() <= ROOM);
    assert_eq!(held.resends, 0, "nothing is left of the request before");
}

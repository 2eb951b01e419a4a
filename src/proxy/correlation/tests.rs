use super::*;
use crate::context::ids::{Flags, SpanId, TraceId};

const ID: HeaderName = HeaderName::from_static("x-request-id");
const OTHER: HeaderName = HeaderName::from_static("x-correlation-id");

pub(super) fn handed(n: u64) -> Handed {
    Handed {
        context: TraceParent {
            trace_id: TraceId::new(u128::from(n) + 1).unwrap(),
            parent_id: SpanId::new(n + 1).unwrap(),
            flags: Flags::SAMPLED,
        },
        state: State::Absent,
    }
}

/// What was found: whose request, or why none.
pub(super) fn whose(found: &Found) -> Result<u64, &'static str> {
    match found {
        Found::One(handed) => Ok(handed.context.parent_id.get() - 1),
        Found::Nothing => Err("nothing"),
        Found::Ambiguous => Err("ambiguous"),
    }
}

fn table() -> Table {
    Table::new([7; 16])
}

impl Table {
    fn hold_for(&self, n: u64, value: &[u8]) -> Hold {
        self.hold(&ID, value, Found::One(handed(n)))
    }

    fn whose(&self, value: &[u8]) -> Result<u64, &'static str> {
        whose(&self.find(&ID, value))
    }

    /// Keys and requests turned away that it knows.
    fn load(&self) -> (usize, u32) {
        let shards = self.shards.iter().map(|shard| shard.0.lock().unwrap());
        shards.fold((0, 0), |(keys, away), open| {
            let more: u32 = open.turned_away.iter().sum();
            (keys + open.keys.len(), away + more)
        })
    }
}

fn value(n: u64) -> Vec<u8> {
    format!("request-{n}").into_bytes()
}

#[test]
fn a_context_is_found_for_as_long_as_its_request_is_open() {
    let table = table();
    assert_eq!(table.whose(b"a"), Err("nothing"));
    let hold = table.hold_for(1, b"a");
    assert_eq!(table.whose(b"a"), Ok(1));
    assert_eq!(table.whose(b"b"), Err("nothing"), "another value");
    let other = whose(&table.find(&OTHER, b"a"));
    assert_eq!(other, Err("nothing"), "another field");
    table.release(hold);
    assert_eq!(table.whose(b"a"), Err("nothing"), "it has ended");
    assert_eq!(table.load(), (0, 0));
}

#[test]
fn a_key_that_is_open_twice_is_nobodys_until_all_have_ended() {
    let table = table();
    let one = table.hold_for(1, b"a");
    let two = table.hold_for(2, b"a");
    assert_eq!(table.whose(b"a"), Err("ambiguous"));
    table.release(one);
    assert_eq!(table.whose(b"a"), Err("ambiguous"), "whose is it now?");
    let three = table.hold_for(3, b"a");
    table.release(two);
    assert_eq!(table.whose(b"a"), Err("ambiguous"), "nor this one's");
    table.release(three);
    let four = table.hold_for(4, b"a");
    assert_eq!(table.whose(b"a"), Ok(4), "a fresh start");
    table.release(four);
    assert_eq!(table.load(), (0, 0));
}

#[test]
fn a_request_without_a_context_lets_nobody_find_anothers() {
    let table = table();
    let none = table.hold(&ID, b"a", Found::Nothing);
    assert_eq!(table.whose(b"a"), Err("nothing"), "it has none to give");
    let one = table.hold_for(1, b"a");
    assert_eq!(table.whose(b"a"), Err("ambiguous"), "either may be meant");
    table.release(none);
    table.release(one);
    assert_eq!(table.load(), (0, 0));
}

#[test]
fn a_full_table_keeps_no_more_and_guesses_nothing() {
    let table = table();
    let most = SHARDS * MOST_KEYS;
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    let mut n = 0;
    while kept.len() < most {
        let hold = table.hold_for(n, &value(n));
        let list = if hold.is_kept() {
            &mut kept
        } else {
            &mut refused
        };
        list.push((n, hold));
        n += 1;
        assert!(n < 4 * most as u64, "hashes are spread evenly");
    }
    assert!(!table.hold_for(n, &value(n)).is_kept(), "bounded");
    assert_eq!(table.load().0, most);
    let (away, _) = &refused[0];
    let found = table.whose(&value(*away));
    assert_eq!(found, Err("ambiguous"), "it is open, though not kept");
    let again = table.hold_for(kept[0].0, &value(kept[0].0));
    assert!(again.is_kept(), "a key that is there needs no place");
    for (_, hold) in refused {
        table.release(hold);
    }
    table.release(again);
    for (_, hold) in kept {
        table.release(hold);
    }
    assert_eq!(table.load(), (0, 1), "all but the one forgotten above");
}

#[test]
fn whoever_was_turned_away_is_remembered_until_the_end() {
    let table = table();
    let shard = |n: &u64| (table.key(&ID, &value(*n)) as usize).is_multiple_of(SHARDS);
    let mut of_one_shard = (0..).filter(shard);
    let filled: Vec<_> = (&mut of_one_shard)
        .take(MOST_KEYS)
        .map(|n| table.hold_for(n, &value(n)))
        .collect();
    assert!(filled.iter().all(Hold::is_kept));
    let n = of_one_shard.next().expect("one more");
    let away = table.hold_for(n, &value(n));
    assert!(!away.is_kept());
    filled.into_iter().for_each(|hold| table.release(hold));
    let second = table.hold_for(n + 1, &value(n));
    assert!(second.is_kept(), "there is a place again");
    let found = table.whose(&value(n));
    assert_eq!(found, Err("ambiguous"), "the first may be meant");
    table.release(away);
    assert_eq!(table.whose(&value(n)), Ok(n + 1));
    table.release(second);
    assert_eq!(table.load(), (0, 0));
}

#[test]
fn keys_depend_on_a_secret() {
    let (one, other) = (Table::new([1; 16]), Table::new([2; 16]));
    assert_ne!(one.key(&ID, b"a"), other.key(&ID, b"a"));
    assert_eq!(one.key(&ID, b"a"), Table::new([1; 16]).key(&ID, b"a"));
    let shifted = HeaderName::from_static("x-request-id-b");
    assert_ne!(one.key(&ID, b"-b:c"), one.key(&shifted, b"c"));
}

#[test]
fn workers_find_each_others_contexts_every_time() {
    const EACH: u64 = 2000;
    let table = table();
    let turn = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (table, turn) = (&table, &turn);
            scope.spawn(move || {
                let own = (0..EACH).map(|n| worker * EACH + n);
                let holds: Vec<_> = own.map(|n| table.hold_for(n, &value(n))).collect();
                turn.wait();
                let others = (worker + 1) % 4 * EACH;
                let found = (others..others + EACH).filter(|n| table.whose(&value(*n)) == Ok(*n));
                assert_eq!(found.count(), EACH as usize);
                turn.wait();
                holds.into_iter().for_each(|hold| table.release(hold));
            });
        }
    });
    assert_eq!(table.load(), (0, 0));
}

/// Threads open, look for and end requests at random, some with values of their own and some with
/// values they share.
#[test]
fn under_stress_nobody_who_is_open_finds_anothers_context() {
    const ROUNDS: u64 = 20_000;
    const SHARED: u64 = 8;
    let table = table();
    std::thread::scope(|scope| {
        for worker in 1..=4_u64 {
            let table = &table;
            scope.spawn(move || {
                let mut luck = worker;
                let mut open: Vec<(u64, Vec<u8>, Hold)> = Vec::new();
                for round in 0..ROUNDS {
                    luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let n = worker << 32 | round;
                    let own = luck >> 60 < 8;
                    let value = value(if own { n } else { luck >> 33 & (SHARED - 1) });
                    let hold = table.hold_for(n, &value);
                    let found = table.whose(&value);
                    assert!(
                        found == Ok(n) || (!own && found == Err("ambiguous")),
                        "{found:?}"
                    );
                    open.push((n, value, hold));
                    if open.len() > 16 {
                        let (n, value, hold) = open.swap_remove((luck >> 40) as usize % 16);
                        let found = table.whose(&value);
                        assert!(found == Ok(n) || found == Err("ambiguous"), "{found:?}");
                        table.release(hold);
                    }
                }
                open.into_iter()
                    .for_each(|(_, _, hold)| table.release(hold));
            });
        }
    });
    assert_eq!(table.load(), (0, 0), "nothing stays behind");
}

#[test]
fn a_place_is_small_because_there_may_be_many() {
    let bytes = size_of::<(u128, Holders)>();
    assert!(bytes <= 128, "{bytes} bytes");
}

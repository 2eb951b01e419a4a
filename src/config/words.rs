//! Words of faults: what came, what was possible, what was probably meant.

/// What came, cut, and without what may be secret in a URL.
pub(super) fn show(text: &str) -> String {
    const LONGEST: usize = 120;
    let masked = super::address::mask(text);
    match masked.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &masked[..end]),
        None => format!("{masked:?}"),
    }
}

/// `a, b or c`
pub(super) fn alternatives<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The known key this was probably meant to be.
pub(super) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    const LONGEST: usize = 64;
    if key.len() > LONGEST {
        return None;
    }
    let allowed = (key.chars().count() / 3).clamp(1, 3);
    let measured = known.iter().map(|k| {
        let distance = distance(&key.to_lowercase(), &k.to_lowercase());
        (distance, *k)
    });
    measured
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, k)| k)
}

/// Levenshtein's distance, with neighbours swapped as one change.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{alternatives, distance, nearest, show};

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        let known = ["tls", "trust", "samplingRatePerMillion", "bind"];
        for (typed, meant) in [
            ("tsl", Some("tls")),
            ("Bind", Some("bind")),
            ("samplingRatePerMilion", Some("samplingRatePerMillion")),
            ("sampling_rate_per_million", Some("samplingRatePerMillion")),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
    }

    #[test]
    fn distance_counts_single_changes() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn what_is_shown_has_no_secret_and_an_end() {
        assert_eq!(show("https://u:p@h/x?key=1"), "\"https://***@h/x?***\"");
        assert_eq!(show("u:p@h:1"), "\"***@h:1\"");
        assert!(show(&"é".repeat(10_000)).chars().count() < 130);
    }

    #[test]
    fn alternatives_read_as_english() {
        assert_eq!(alternatives(["a"].into_iter()), "a");
        assert_eq!(alternatives(["a", "b", "c"].into_iter()), "a, b or c");
    }
}

//! What stands behind a unix socket's path: who may use it, and whom it belongs to.

use crate::config::values::Expected;
use crate::listen::settings::Owner;

/// `mode=0660&uid=0&gid=0`, each of them once or not at all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// Permission bits.
    pub mode: Option<u32>,
    pub owner: Owner,
}

impl Access {
    /// Reads a query; an owner may be named only if it is `owned`.
    pub fn read(query: Option<&str>, owned: bool) -> Expected<Self> {
        let mut access = Self::default();
        for part in query.into_iter().flat_map(|query| query.split('&')) {
            let read = match part.split_once('=') {
                Some(("mode", mode)) => set(&mut access.mode, octal_mode(mode)),
                Some(("uid", uid)) if owned => set(&mut access.owner.uid, id(uid)),
                Some(("gid", gid)) if owned => set(&mut access.owner.gid, id(gid)),
                _ => None,
            };
            read.ok_or(if owned {
                "unix:///path?mode=…&uid=…&gid=… with a mode from 0000 to 0777 and numbers"
            } else {
                "unix:///path?mode=… with a mode from 0000 to 0777"
            })?;
        }
        Ok(access)
    }
}

/// Sets what can be read and wasn't set before.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    let value = value?;
    place.replace(value).is_none().then_some(())
}

fn octal_mode(text: &str) -> Option<u32> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten()?;
    (mode <= 0o777).then_some(mode)
}

/// A user or a group by number; the highest stands for nobody.
fn id(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let id = digits.then(|| text.parse().ok()).flatten()?;
    (id < u32::MAX).then_some(id)
}

/// An owner as [`Access::read`] reads it, behind a mode.
pub(super) fn show(owner: Owner) -> String {
    let part = |name: &str, id: Option<u32>| id.map(|id| format!("&{name}={id}"));
    let parts = [part("uid", owner.uid), part("gid", owner.gid)];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<(Option<u32>, Option<u32>, Option<u32>)> {
        let Access { mode, owner } = Access::read(Some(query), true).ok()?;
        Some((mode, owner.uid, owner.gid))
    }

    #[test]
    fn mode_and_owner_may_each_be_given_once() {
        assert_eq!(read("mode=0660"), Some((Some(0o660), None, None)));
        assert_eq!(
            read("mode=600&uid=0&gid=117"),
            Some((Some(0o600), Some(0), Some(117)))
        );
        assert_eq!(read("gid=117"), Some((None, None, Some(117))));
        assert_eq!(
            read("uid=4294967294"),
            Some((None, Some(u32::MAX - 1), None))
        );
        assert_eq!(Access::read(None, true), Ok(Access::default()));
        for (query, reason) in [
            ("", "nothing"),
            ("mode=", "no mode"),
            ("mode=0888", "not octal"),
            ("mode=1777", "more than permission bits"),
            ("mode=0660&", "an end without a part"),
            ("mode=0660&mode=0660", "twice"),
            ("uid=1&uid=1", "twice"),
            ("gid=root", "a name"),
            ("gid=", "no number"),
            ("gid=+1", "a sign"),
            ("uid=-1", "a sign"),
            ("uid=4294967295", "the number that changes nothing"),
            ("uid=4294967296", "more than a number may be"),
            ("group=0", "another key"),
            ("Mode=0660", "another case"),
        ] {
            assert_eq!(read(query), None, "{reason}: {query}");
        }
        assert!(
            Access::read(Some("uid=0"), false).is_err(),
            "no owner there"
        );
    }
}

//! Moments of a request and its response on their way, for spans that last.

use std::time::Instant;

/// The most that one record keeps; of more only the number is kept.
pub const MOST: usize = 8;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// An interim response's head (RFC 9110, section 15.2), with its status.
    Informational(u16),
    /// The first bytes of the response's body.
    FirstByte,
    /// The response's trailers.
    Trailers,
    /// The request's trailers.
    RequestTrailers,
}

impl Moment {
    /// Name of the span's event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational(_) => "http.response.informational",
            Self::FirstByte => "http.response.first_byte",
            Self::Trailers => "http.response.trailers",
            Self::RequestTrailers => "http.request.trailers",
        }
    }
}

/// Moments in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    kept: Vec<(Moment, Instant)>,
    dropped: u32,
}

impl Moments {
    /// Keeps one, if there is room.
    pub fn note(&mut self, moment: Moment, now: Instant) {
        if self.kept.len() < MOST {
            self.kept.push((moment, now));
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Those that were kept.
    pub fn iter(&self) -> impl Iterator<Item = (Moment, Instant)> {
        self.kept.iter().copied()
    }

    /// How many weren't.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_can_mint_no_more_than_a_few() {
        let (mut moments, now) = (Moments::default(), Instant::now());
        for status in 100..112 {
            moments.note(Moment::Informational(status), now);
        }
        assert_eq!(moments.iter().count(), MOST);
        let first = moments.iter().next();
        assert_eq!(first, Some((Moment::Informational(100), now)));
        assert_eq!(moments.dropped(), 4);
    }
}

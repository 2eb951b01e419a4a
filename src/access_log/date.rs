//! Dates as RFC 3339 writes them, in UTC with milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 3600;

/// The date of a moment; one before 1970 is shown as the epoch, one after 9999 as that year's end.
pub(super) fn rfc3339(moment: SystemTime) -> String {
    const LAST: u64 = 253_402_300_799;
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().min(LAST);
    let (days, second) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a number of days since the epoch, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last one of its year; an era is the
/// 400 years after which the calendar repeats itself.
const fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // From 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days / ERA, days % ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = 400 * era + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, expected, why) in [
            (0, "1970-01-01T00:00:00.000Z", "the epoch"),
            (
                951_782_399_999,
                "2000-02-28T23:59:59.999Z",
                "before a leap day",
            ),
            (
                951_782_400_000,
                "2000-02-29T00:00:00.000Z",
                "every 400 years",
            ),
            (951_868_800_000, "2000-03-01T00:00:00.000Z", "after it"),
            (
                1_709_210_096_789,
                "2024-02-29T12:34:56.789Z",
                "every 4 years",
            ),
            (
                1_735_689_599_000,
                "2024-12-31T23:59:59.000Z",
                "a year's end",
            ),
            (
                4_107_542_400_000,
                "2100-03-01T00:00:00.000Z",
                "not every 100",
            ),
            (
                253_402_300_799_000,
                "9999-12-31T23:59:59.000Z",
                "the last one",
            ),
            (953_402_300_799_000, "9999-12-31T23:59:59.000Z", "beyond it"),
        ] {
            let moment = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(rfc3339(moment), expected, "{why}");
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(rfc3339(before), "1970-01-01T00:00:00.000Z");
    }
}

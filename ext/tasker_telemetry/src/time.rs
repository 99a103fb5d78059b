//! Owns: the unit of time, the same in the engine, the store and the spans: microseconds since the Unix epoch.
//! Refuses: to know what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since the Unix epoch (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The moment in whole milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0 / 1000
    }

    /// The moment `duration` later; saturates at the end of time.
    pub fn after(self, duration: Duration) -> Micros {
        Micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `duration` earlier.
    pub fn before(self, duration: Duration) -> Micros {
        Micros(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Micros) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Milliseconds since `earlier`, with microsecond precision; zero when it is not after.
    pub fn millis_since(self, earlier: Micros) -> f64 {
        self.since(earlier).as_micros() as f64 / 1000.0
    }

    /// The moment in UTC as RFC 3339 (ISO 8601) has it, to the second: `2025-12-01T10:30:00Z`.
    pub fn to_rfc3339(self) -> String {
        let seconds = self.0.div_euclid(1_000_000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days since 0000-03-01, in eras of 400 years: a leap day is then the last day of its year.
        let since_march = days + 719_468;
        let (era, day_of_era) = (since_march.div_euclid(146_097), since_march.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }

    /// The same with six digits of microseconds: `2025-12-01T10:30:00.000042Z`. Such texts sort by their times.
    pub fn to_rfc3339_micros(self) -> String {
        let (seconds, micros) = (self.to_rfc3339(), self.0.rem_euclid(1_000_000));
        format!("{}.{micros:06}Z", seconds.trim_end_matches('Z'))
    }

    /// The moment as the standard library's type.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }
}

impl From<SystemTime> for Micros {
    fn from(time: SystemTime) -> Micros {
        let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        let written = |seconds: i64| Micros(seconds * 1_000_000).to_rfc3339();
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(written(1_764_585_000), "2025-12-01T10:30:00Z");
        assert_eq!(written(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}

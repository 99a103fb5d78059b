//! Owns: time. One unit everywhere in the engine, the store and the spans: microseconds since the
//! Unix epoch. Refuses: sleeping.

use std::sync::atomic::{AtomicI64, Ordering};
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

/// A moment of a clock that nobody sets: microseconds since some start, the same for all processes of one boot of the
/// machine. What a process measures for itself (deadlines, leases on one machine) is measured with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub i64);

impl Tick {
    /// The moment `duration` later; saturates at the end of time.
    pub fn after(self, duration: Duration) -> Tick {
        Tick(Micros(self.0).after(duration).0)
    }

    /// The moment `duration` earlier.
    pub fn before(self, duration: Duration) -> Tick {
        Tick(Micros(self.0).before(duration).0)
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Tick) -> Duration {
        Micros(self.0).since(Micros(earlier.0))
    }
}

/// The present moment by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// By this process's wall clock: what is written down for people.
    pub wall: Micros,
    /// By the one clock that all processes of the store share: when a retry is due
    /// ([`Store::time`](crate::store::Store::time)).
    pub store: Micros,
}

impl Now {
    /// A moment at which both clocks show the same.
    pub fn both(moment: Micros) -> Now {
        Now { wall: moment, store: moment }
    }
}

/// Where the engine's time comes from: the system, or a test's hand.
#[derive(Clone, Default)]
pub enum Clock {
    /// The system's clocks.
    #[default]
    System,
    /// Clocks that stand still until the test moves them.
    Manual(std::sync::Arc<ManualClock>),
}

/// The wall clock and the monotonic clock of a test, in microseconds.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl Clock {
    /// Clocks that show `now` until [`Clock::advance`] moves them.
    pub fn manual(now: Micros) -> Clock {
        Clock::Manual(std::sync::Arc::new(ManualClock { wall: now.0.into(), monotonic: now.0.into() }))
    }

    /// The present moment by the wall clock, which an administrator or NTP may set at any time.
    pub fn now(&self) -> Micros {
        match self {
            Clock::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
            }
            Clock::Manual(clock) => Micros(clock.wall.load(Ordering::SeqCst)),
        }
    }

    /// The present moment by a clock that nobody sets. It goes on while the machine sleeps, where the system has such
    /// a clock (Linux).
    pub fn tick(&self) -> Tick {
        match self {
            Clock::System => {
                #[cfg(target_os = "linux")]
                let id = rustix::time::ClockId::Boottime;
                #[cfg(not(target_os = "linux"))]
                let id = rustix::time::ClockId::Monotonic;
                let time = rustix::time::clock_gettime(id);
                Tick(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
            }
            Clock::Manual(clock) => Tick(clock.monotonic.load(Ordering::SeqCst)),
        }
    }

    /// The name of the machine's boot that [`Clock::tick`] counts from, where there is one.
    pub fn boot_id(&self) -> Option<String> {
        match self {
            Clock::System => {
                let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
                Some(id.trim().to_owned()).filter(|id| !id.is_empty())
            }
            Clock::Manual(_) => Some("manual".into()),
        }
    }

    /// Moves manual clocks forward. The system's stay as they are.
    pub fn advance(&self, duration: Duration) {
        if let Clock::Manual(clock) = self {
            let step = i64::try_from(duration.as_micros()).unwrap_or(0);
            clock.wall.fetch_add(step, Ordering::SeqCst);
            clock.monotonic.fetch_add(step, Ordering::SeqCst);
        }
    }

    /// Sets a manual wall clock forward or back by `micros`, as NTP or a person does: the monotonic clock stays.
    pub fn jump(&self, micros: i64) {
        if let Clock::Manual(clock) = self {
            clock.wall.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_leaves_the_monotonic_clock_alone() {
        let clock = Clock::manual(Micros(1_000_000));
        let tick = clock.tick();
        clock.jump(-500_000);
        assert_eq!((clock.now(), clock.tick()), (Micros(500_000), tick));
        clock.advance(Duration::from_secs(1));
        assert_eq!((clock.now(), clock.tick().since(tick)), (Micros(1_500_000), Duration::from_secs(1)));
    }

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

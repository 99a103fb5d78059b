//! Owns: time. One unit everywhere in the engine, the store and the spans: microseconds since the
//! Unix epoch. Refuses: sleeping.

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

    /// The moment as the standard library's type.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }
}

/// Where the engine's time comes from: the system, or a test's hand.
#[derive(Clone, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands still until the test moves it.
    Manual(std::sync::Arc<std::sync::atomic::AtomicI64>),
}

impl Clock {
    /// A clock that shows `now` until [`Clock::advance`] moves it.
    pub fn manual(now: Micros) -> Clock {
        Clock::Manual(std::sync::Arc::new(now.0.into()))
    }

    /// The present moment.
    pub fn now(&self) -> Micros {
        match self {
            Clock::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
            }
            Clock::Manual(micros) => Micros(micros.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward. The system's clock stays as it is.
    pub fn advance(&self, duration: Duration) {
        if let Clock::Manual(micros) = self {
            let step = i64::try_from(duration.as_micros()).unwrap_or(0);
            micros.fetch_add(step, std::sync::atomic::Ordering::SeqCst);
        }
    }
}

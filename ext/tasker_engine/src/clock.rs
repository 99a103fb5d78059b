//! Owns: time. One unit everywhere in the engine, the store and the spans: microseconds since the
//! Unix epoch. Refuses: sleeping.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

pub use tasker_telemetry::time::Micros;

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
            Clock::System => SystemTime::now().into(),
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
}

//! Owns: how long a notification takes: this process hears its own ones too, and by one clock. Refuses: comparing the clocks
//! of two machines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

use crate::store::Observer;

/// A notification that was sent and is to be heard.
pub(super) struct Echo {
    born: Instant,
    /// Microseconds since then at which the oldest one that is still to be heard was sent; 0: there is none.
    sent: AtomicU64,
    observer: Arc<dyn Observer>,
}

impl Echo {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Echo {
        Echo { born: Instant::now(), sent: AtomicU64::new(0), observer }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// One is sent now. `again`: the last one was not, or its transaction was rolled back.
    pub(super) fn sends(&self, again: bool) {
        let now = self.micros();
        if again {
            self.sent.store(now, Ordering::Relaxed);
        } else {
            // The one before is heard first.
            let _ = self.sent.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// One of this process was heard.
    pub(super) fn heard(&self) {
        if let Some(milliseconds) = self.taken() {
            self.observer.notification(milliseconds);
        }
    }

    /// How long ago the one that is heard was sent; `None`: that is not known.
    fn taken(&self) -> Option<f64> {
        let sent = self.sent.swap(0, Ordering::Relaxed);
        (sent > 0).then(|| self.micros().saturating_sub(sent) as f64 / 1e3)
    }

    /// What was sent until now may never be heard.
    pub(super) fn forget(&self) {
        self.sent.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One that lives for a second.
    fn echo() -> Echo {
        Echo { born: Instant::now() - Duration::from_secs(1), ..Echo::new(Arc::new(())) }
    }

    #[test]
    fn each_is_timed_from_its_own_sending() {
        let echo = echo();
        assert_eq!(echo.taken(), None, "nobody sent one");
        echo.sent.store(1, Ordering::Relaxed);
        echo.sends(false);
        assert!(echo.taken().unwrap() >= 999.0, "the first is heard first");
        assert_eq!(echo.taken(), None, "the second was sent before that, nobody knows when");
    }

    #[test]
    fn one_that_was_not_sent_does_not_count() {
        let echo = echo();
        echo.sent.store(1, Ordering::Relaxed);
        echo.sends(true);
        assert!(echo.taken().unwrap() < 999.0, "from when it was sent again");
        echo.sends(false);
        echo.forget();
        assert_eq!(echo.taken(), None);
    }
}

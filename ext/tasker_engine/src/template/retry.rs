//! Owns: when a failed attempt may be repeated: the policy a step declares and the delay it means.
//! Refuses: randomness and clocks; the jitter's draw is handed in.

use std::time::Duration;

/// How the delay grows from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Backoff {
    /// No delay at all.
    None,
    /// `base * attempt`.
    Linear,
    /// `base * 2^(attempt - 1)`.
    #[default]
    Exponential,
    /// `base * fibonacci(attempt)`: 1, 1, 2, 3, 5, 8 and so on.
    Fibonacci,
}

impl Backoff {
    /// Every backoff, in the order the documents name them.
    pub const ALL: &'static [Backoff] = &[Backoff::None, Backoff::Linear, Backoff::Exponential, Backoff::Fibonacci];

    /// The name it has in a template.
    pub fn as_str(self) -> &'static str {
        match self {
            Backoff::None => "none",
            Backoff::Linear => "linear",
            Backoff::Exponential => "exponential",
            Backoff::Fibonacci => "fibonacci",
        }
    }

    /// The backoff of that name.
    pub fn parse(text: &str) -> Option<Backoff> {
        Backoff::ALL.iter().copied().find(|backoff| backoff.as_str() == text)
    }
}

/// How often a step is attempted, and how long it waits between two attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// All attempts, the first included: 1 to 100.
    pub max_attempts: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// The delay's unit, in seconds.
    pub base: f64,
    /// The longest delay, in seconds; jitter does not exceed it either.
    pub cap: f64,
    /// The share of the delay, 0 to 1, by which it may be shorter or longer.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { max_attempts: 3, backoff: Backoff::Exponential, base: 1.0, cap: 300.0, jitter: 0.1 }
    }
}

impl RetryPolicy {
    /// How long to wait after the failed attempt number `attempt`; the first is 1.
    ///
    /// `jitter_fraction` is a draw from 0.0 to 1.0: 0.5 leaves the delay as it is, 0.0 shortens and
    /// 1.0 lengthens it by the whole jitter share. Any number is safe: the delay is never negative,
    /// never above `cap`, and no attempt overflows.
    pub fn delay(&self, attempt: u32, jitter_fraction: f64) -> Duration {
        let cap = if self.cap >= 0.0 { self.cap } else { 0.0 };
        let planned = (self.base * self.growth(attempt.max(1))).clamp(0.0, cap);
        let draw = if jitter_fraction.is_finite() { jitter_fraction.clamp(0.0, 1.0) } else { 0.5 };
        let spread = 1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * draw - 1.0);
        let seconds = (planned * spread).clamp(0.0, cap);
        if seconds.is_nan() {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// How many times `base` to wait after the attempt: finite, however large the attempt.
    fn growth(&self, attempt: u32) -> f64 {
        match self.backoff {
            Backoff::None => 0.0,
            Backoff::Linear => f64::from(attempt),
            Backoff::Exponential => 2f64.powi(i32::try_from(attempt - 1).map_or(1023, |n| n.min(1023))),
            Backoff::Fibonacci => {
                // fibonacci(1476) is the last one an f64 can hold.
                let (mut this, mut next) = (1.0f64, 1.0f64);
                for _ in 1..attempt.min(1476) {
                    (this, next) = (next, this + next);
                }
                this
            }
        }
    }
}

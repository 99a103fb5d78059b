//! Retry delays: the four growths, the cap, the jitter, and no attempt that overflows.

use std::time::Duration;

use tasker_engine::template::{Backoff, RetryPolicy};

fn policy(backoff: Backoff, base: f64, cap: f64, jitter: f64) -> RetryPolicy {
    RetryPolicy { max_attempts: 10, backoff, base, cap, jitter }
}

fn seconds(policy: RetryPolicy) -> Vec<f64> {
    (1..=7).map(|attempt| policy.delay(attempt, 0.9).as_secs_f64()).collect()
}

#[test]
fn delays_grow_as_the_backoff_says() {
    assert_eq!(seconds(policy(Backoff::None, 2.0, 300.0, 0.5)), [0.0; 7]);
    assert_eq!(seconds(policy(Backoff::Linear, 2.0, 300.0, 0.0)), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
    assert_eq!(seconds(policy(Backoff::Exponential, 2.0, 300.0, 0.0)), [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]);
    assert_eq!(seconds(policy(Backoff::Fibonacci, 2.0, 300.0, 0.0)), [2.0, 2.0, 4.0, 6.0, 10.0, 16.0, 26.0]);
}

#[test]
fn the_cap_ends_the_growth() {
    assert_eq!(seconds(policy(Backoff::Exponential, 2.0, 10.0, 0.0)), [2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]);
}

#[test]
fn jitter_spreads_both_ways_and_respects_the_cap() {
    let jittered = policy(Backoff::Linear, 10.0, 100.0, 0.2);
    let delay = |attempt, draw| jittered.delay(attempt, draw);
    assert_eq!(delay(1, 0.0), Duration::from_secs(8));
    assert_eq!(delay(1, 0.5), Duration::from_secs(10));
    assert_eq!(delay(1, 1.0), Duration::from_secs(12));
    assert_eq!(delay(10, 1.0), Duration::from_secs(100));
    assert_eq!(delay(10, 0.0), Duration::from_secs(80));
    assert_eq!(policy(Backoff::Linear, 10.0, 100.0, 1.0).delay(1, 0.0), Duration::ZERO);
}

#[test]
fn every_delay_is_between_nothing_and_the_cap_and_grows_with_the_attempt() {
    let attempts = [0, 1, 2, 3, 10, 63, 64, 65, 99, 100, 1023, 1024, 1025, 1476, 1477, 5000, u32::MAX - 1, u32::MAX];
    for &backoff in Backoff::ALL {
        for base in [0.0, 1e-9, 0.5, 1.0, 300.0, 31_536_000.0] {
            for cap in [base, base + 0.25, 31_536_000.0] {
                for jitter in [0.0, 0.1, 1.0] {
                    let policy = policy(backoff, base, cap, jitter);
                    let mut before = Duration::ZERO;
                    for attempt in attempts {
                        let middle = policy.delay(attempt, 0.5);
                        assert!(middle >= before, "{policy:?} shrinks at {attempt}");
                        before = middle;
                        for draw in [0.0, 0.25, 0.5, 0.999, 1.0] {
                            let delay = policy.delay(attempt, draw).as_secs_f64();
                            assert!((0.0..=cap).contains(&delay), "{policy:?} at {attempt}: {delay}");
                            let spread = middle.as_secs_f64() * jitter + 1e-6;
                            assert!((delay - middle.as_secs_f64()).abs() <= spread, "{policy:?} at {attempt}: {delay}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_no_template_can_hold_still_do_no_harm() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -1.0, 0.0];
    for &backoff in Backoff::ALL {
        for base in odd {
            for cap in odd {
                for (jitter, draw) in odd.iter().flat_map(|jitter| odd.map(|draw| (*jitter, draw))) {
                    let _ = policy(backoff, base, cap, jitter).delay(7, draw);
                }
            }
        }
    }
}

#[test]
fn backoffs_have_names() {
    for &backoff in Backoff::ALL {
        assert_eq!(Backoff::parse(backoff.as_str()), Some(backoff));
    }
    assert_eq!(Backoff::parse("Linear"), None);
}

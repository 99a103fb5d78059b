//! What handlers do: they succeed, fail, stall, answer late or twice, and die with their process.

use std::sync::Arc;

use rand::Rng;
use tasker_engine::channel::{StepCompletion, StepEvent};
use tasker_engine::step::StepError;

use crate::world::World;

/// A handler at work.
pub struct Run {
    pub event: StepEvent,
    pub token: u64,
    pub began_at: i64,
    pub ends_at: i64,
    pub outcome: Result<String, StepError>,
    pub twice: bool,
}

impl World {
    /// A free handler takes up the next event.
    pub fn poll(&mut self, number: usize) {
        let Some(event) = self.slots[number].door.channel.try_poll() else { return };
        let token = event.span_id.as_deref().and_then(|id| u64::from_str_radix(id, 16).ok()).unwrap_or_default();
        self.note(|| {
            format!("#{number} begins {} of {} attempt {} ({token:x})", event.step_name, event.task_uuid, event.attempt)
        });
        self.check_begun(number, token, &event);
        let lease = (self.profile.lease * 1e6) as i64;
        let takes = match self.dice.random_range(0..100) {
            _ if self.clients.is_probing => 400_000,
            0..3 => self.dice.random_range(lease..lease * 3),
            3..10 => self.dice.random_range(100_000..3_000_000),
            _ if self.profile.brisk => self.dice.random_range(50..400),
            _ => self.dice.random_range(1_000..120_000),
        };
        let failure = |retryable: bool, message: &str, retry_after: Option<f64>| {
            let (class_name, message) = ("Simulated".to_owned(), message.to_owned());
            Err(StepError { class_name, message, retryable, retry_after, ..StepError::default() })
        };
        let name = format!("{token:x}");
        let outcome = match self.dice.random_range(0..100) {
            _ if self.clients.is_probing => Ok(format!("\"{name}\"")),
            0..10 => failure(true, "again", None),
            10..14 => failure(true, "again later", Some(self.dice.random_range(0.0..4.0))),
            14..18 => failure(false, "never", None),
            18..20 => Ok(format!("\"poison {name}\"")),
            20..22 => failure(true, "poison", None),
            _ => Ok(format!("\"{name}\"")),
        };
        let (began_at, twice) = (self.now, self.dice.random_bool(0.03));
        let run = Run { event, token, began_at, ends_at: self.now + takes, outcome, twice };
        self.slots[number].runs.push(run);
    }

    /// A handler is done.
    pub fn finish(&mut self, number: usize, index: usize) {
        let run = self.slots[number].runs.swap_remove(index);
        let now = self.now;
        self.note(|| {
            let how = run.outcome.as_ref().map_or_else(|error| error.message.clone(), Clone::clone);
            format!("#{number} ends {} of {}: {how}", run.event.step_name, run.event.task_uuid)
        });
        if let (Ok(result), Some(attempt)) = (&run.outcome, self.attempts.get_mut(&run.token)) {
            attempt.result = Some(Arc::from(result.as_str()));
        }
        let slot = &mut self.slots[number];
        for _ in 0..=usize::from(run.twice) {
            slot.door.channel.complete(StepCompletion {
                event_id: run.event.event_id,
                task_uuid: run.event.task_uuid,
                step_uuid: run.event.step_uuid,
                outcome: run.outcome.clone(),
                started_at: None,
                execution_time_ms: Some((now - run.began_at) as f64 / 1e3),
                trace_id: run.event.trace_id.clone(),
                span_id: run.event.span_id.clone(),
                said: None,
            });
        }
    }
}

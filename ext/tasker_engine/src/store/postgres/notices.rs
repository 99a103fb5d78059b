//! Owns: what other processes are told of commits, and how often. Each commit that notifies takes a lock of the whole
//! cluster: so the first goes at once, and what follows within a moment goes together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::echo::Echo;
use super::write::Script;
use crate::store::Commit;

/// The channel on which workers hear of steps that may be claimed; with [`DUE`], of something that will be due.
pub(super) const WORK: &str = "tasker";
pub(super) const DUE: &str = "due";
/// The channel on which processes hear of tasks that ended: UUIDs with commas in between.
pub(super) const ENDED: &str = "tasker_ended";
/// The channel on which workers hear that somebody waits for the end of a task; with [`WHO_WAITS`], that somebody new
/// wants to know.
pub(super) const WAITING: &str = "tasker_waiting";
pub(super) const WHO_WAITS: &str = "?";

/// The channel on which those who read for event groups hear that there may be something.
pub(super) const EVENTS: &str = "tasker_events";

/// The least time between two commits that notify.
const GAP: Duration = Duration::from_millis(1);
/// UUIDs in one notification: it may have 8000 bytes.
const TOGETHER: usize = 200;

/// What is still to be told.
pub(super) struct Notices {
    echo: Arc<Echo>,
    steps: bool,
    due: bool,
    events: bool,
    ended: Vec<Uuid>,
    last: Option<Instant>,
    /// Whether all of it went into the last script.
    written: bool,
    /// Whether somebody elsewhere waits for the end of a task.
    pub(super) awaited: bool,
}

impl Notices {
    pub(super) fn new(echo: Arc<Echo>) -> Notices {
        Notices {
            echo,
            steps: false,
            due: false,
            events: false,
            ended: Vec::new(),
            last: None,
            written: false,
            awaited: false,
        }
    }

    pub(super) fn add(&mut self, commit: &Commit) {
        self.steps |= commit.steps_enqueued;
        self.due |= commit.due;
        self.events |= commit.events;
        if self.awaited {
            self.ended.extend_from_slice(&commit.ended);
        }
    }

    fn are_there(&self) -> bool {
        self.steps || self.due || self.events || !self.ended.is_empty()
    }

    /// Whether there is something to tell, and now is the time.
    pub(super) fn are_due(&self) -> bool {
        self.are_there() && self.left().is_zero()
    }

    fn left(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| GAP.saturating_sub(last.elapsed()))
    }

    /// How long what is there has to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.are_there().then(|| self.left())
    }

    /// Adds what is due.
    pub(super) fn write(&mut self, script: &mut Script) {
        let unsent = self.written;
        self.written = self.are_due();
        if !self.written {
            return;
        }
        if self.steps || self.due {
            self.echo.sends(unsent);
            let payload = if self.due { DUE } else { "" };
            script.statement(&format!("SELECT pg_notify('{WORK}', '{payload}')"));
        }
        if self.events {
            // Where nobody follows the events, nobody is told.
            script.statement(&format!(
                "SELECT pg_notify('{EVENTS}', '') FROM tasker.event_groups WHERE held_until > clock_timestamp() LIMIT 1"
            ));
        }
        for ended in self.ended.chunks(TOGETHER) {
            let uuids = ended.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",");
            script.statement(&format!("SELECT pg_notify('{ENDED}', '{uuids}')"));
        }
    }

    /// What went into the script is told. What had to wait for its time when the script was made waits on.
    pub(super) fn were_sent(&mut self) {
        if self.written {
            self.clear();
        }
    }

    /// Nobody will be told of what is there.
    pub(super) fn were_lost(&mut self) {
        self.echo.forget();
        self.clear();
    }

    fn clear(&mut self) {
        let before = std::mem::replace(self, Notices::new(Arc::clone(&self.echo)));
        (self.last, self.awaited) = (Some(Instant::now()), before.awaited);
    }
}

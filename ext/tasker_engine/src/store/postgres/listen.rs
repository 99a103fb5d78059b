//! Owns: hearing what other processes committed, on one connection that listens. Refuses: being needed: who hears nothing
//! looks.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgListener, PgPool};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use uuid::Uuid;

use super::echo::Echo;
use super::notices::{DUE, ENDED, WAITING, WHO_WAITS, WORK};
use crate::bell::Bell;
use crate::interrupt::lock;
use crate::store::{self, Change, Ended, OnEnd};

/// How long to wait before the next try to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// When to look for ends of tasks that workers told nobody of, because they had not heard yet that somebody waits.
const UNHEARD: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500)];

/// What has been heard, and whom to tell.
pub(super) struct Listener {
    heard_steps: AtomicBool,
    heard_any: AtomicBool,
    started: AtomicBool,
    /// Which channels it listens on, besides [`WAITING`]; and that others are wanted.
    work: AtomicBool,
    ends: AtomicBool,
    wanted: Notify,
    /// The server's process for the connection that writes: what it did is no news.
    own: Arc<AtomicI32>,
    echo: Arc<Echo>,
    bell: Mutex<Option<Arc<Bell>>>,
    on_end: Mutex<Option<OnEnd>>,
    born: Instant,
    /// Milliseconds since then until which some other process waits for the end of a task; and when this one last said
    /// that it does.
    awaited_until: AtomicU64,
    waiting_said: AtomicU64,
}

impl Listener {
    pub(super) fn new(own: Arc<AtomicI32>, echo: Echo) -> Listener {
        Listener {
            heard_steps: AtomicBool::default(),
            heard_any: AtomicBool::default(),
            started: AtomicBool::default(),
            work: AtomicBool::default(),
            ends: AtomicBool::default(),
            wanted: Notify::new(),
            own,
            echo: Arc::new(echo),
            bell: Mutex::default(),
            on_end: Mutex::default(),
            born: Instant::now(),
            awaited_until: AtomicU64::default(),
            waiting_said: AtomicU64::default(),
        }
    }

    /// Who is to be told of what this process sends.
    pub(super) fn echo(&self) -> Arc<Echo> {
        Arc::clone(&self.echo)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Rings the bell from now on when other processes leave work; `None`: none.
    pub(super) fn rings(self: &Arc<Self>, runtime: &Handle, pool: &PgPool, bell: Option<Arc<Bell>>) {
        let rings = bell.is_some();
        *lock(&self.bell) = bell;
        if rings {
            self.start(runtime, pool);
        }
        self.wanted.notify_one();
    }

    /// Calls from now on when other processes end tasks. Says whether it will.
    pub(super) fn on_end(self: &Arc<Self>, runtime: &Handle, pool: &PgPool, on_end: &OnEnd) -> bool {
        lock(&self.on_end).get_or_insert_with(|| Arc::clone(on_end));
        self.start(runtime, pool);
        if !self.ends.load(Ordering::Relaxed) {
            self.wanted.notify_one();
            return false;
        }
        let (now, said) = (self.millis(), self.waiting_said.load(Ordering::Relaxed));
        let again = u64::try_from(store::WAITING.as_millis() / 2).unwrap_or(0);
        if said == 0 || now.saturating_sub(said) > again {
            self.waiting_said.store(now, Ordering::Relaxed);
            runtime.spawn(Arc::clone(self).say_waiting(pool.clone()));
        }
        true
    }

    /// Tells the workers that this process waits. What ends before they have heard of it is looked for: with one look for
    /// all who wait here, a few times.
    async fn say_waiting(self: Arc<Self>, pool: PgPool) {
        say(&pool, &self.own.load(Ordering::Relaxed).to_string()).await;
        for pause in UNHEARD {
            tokio::time::sleep(pause).await;
            self.ended_any().await;
        }
    }

    /// Whether this process has said that it waits, and others still go by it.
    fn has_said(&self) -> bool {
        let said = self.waiting_said.load(Ordering::Relaxed);
        let holds = u64::try_from(store::WAITING.as_millis()).unwrap_or(0);
        said > 0 && self.millis().saturating_sub(said) < holds
    }

    /// Whether some other process waits for the end of a task.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited_until.load(Ordering::Relaxed) > self.millis()
    }

    /// Listens on a task of `runtime`, for as long as the store lives. A second call does nothing.
    fn start(self: &Arc<Self>, runtime: &Handle, pool: &PgPool) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let (listener, pool) = (Arc::downgrade(self), pool.clone());
        runtime.spawn(async move {
            while let Some(listener) = listener.upgrade() {
                let heard = listener.listen(&pool).await;
                listener.work.store(false, Ordering::Relaxed);
                listener.ends.store(false, Ordering::Relaxed);
                listener.waiting_said.store(0, Ordering::Relaxed);
                if let Err(error) = heard {
                    tracing::debug!(%error, "Not told of other processes' commits; looking instead");
                }
                drop(listener);
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    /// What was committed since this was last asked.
    pub(super) fn take(&self) -> Option<Change> {
        let steps = self.heard_steps.swap(false, Ordering::Relaxed).then_some(Change::Steps);
        steps.max(self.heard_any.swap(false, Ordering::Relaxed).then_some(Change::Any))
    }

    /// Whether a connection listens.
    pub(super) fn is_connected(&self) -> bool {
        self.work.load(Ordering::Relaxed) || self.ends.load(Ordering::Relaxed)
    }

    /// Whether it hears of work that other processes leave.
    pub(super) fn hears_work(&self) -> bool {
        self.work.load(Ordering::Relaxed)
    }

    async fn listen(&self, pool: &PgPool) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(WAITING).await?;
        loop {
            self.listen_on_what_is_wanted(&mut listener, pool).await?;
            let heard = tokio::select! {
                heard = listener.try_recv() => heard?,
                () = self.wanted.notified() => continue,
            };
            // Without one, the connection was lost.
            let Some(notification) = heard else { return Ok(()) };
            let own = notification.process_id().cast_signed() == self.own.load(Ordering::Relaxed);
            match notification.channel() {
                WAITING if notification.payload() == WHO_WAITS => {
                    if self.has_said() {
                        let (own, pool) = (self.own.load(Ordering::Relaxed).to_string(), pool.clone());
                        tokio::spawn(async move { say(&pool, &own).await });
                    }
                }
                WAITING if notification.payload() == self.own.load(Ordering::Relaxed).to_string() => {}
                WAITING => {
                    let until = self.millis() + 2 * u64::try_from(store::WAITING.as_millis()).unwrap_or(0);
                    self.awaited_until.store(until, Ordering::Relaxed);
                }
                WORK if own => self.echo.heard(),
                _ if own => {}
                ENDED => {
                    let uuids = notification.payload().split(',').filter_map(|uuid| Uuid::try_parse(uuid).ok());
                    self.ended(Ended::These(&uuids.collect::<Vec<_>>()));
                }
                _ => self.ring(notification.payload() == DUE),
            }
        }
    }

    /// A worker hears of work, whoever waits hears of ends, and nobody is woken for what is not for it.
    async fn listen_on_what_is_wanted(&self, listener: &mut PgListener, pool: &PgPool) -> sqlx::Result<()> {
        let (work, ends) = (lock(&self.bell).is_some(), lock(&self.on_end).is_some());
        if work && !self.work.load(Ordering::Relaxed) {
            listener.listen(WORK).await?;
            self.echo.forget();
            self.work.store(true, Ordering::Relaxed);
            say(pool, WHO_WAITS).await;
            // Something may have been missed until now.
            self.ring(true);
        } else if !work && self.work.swap(false, Ordering::Relaxed) {
            listener.unlisten(WORK).await?;
        }
        if ends && !self.ends.load(Ordering::Relaxed) {
            listener.listen(ENDED).await?;
            self.ends.store(true, Ordering::Relaxed);
            self.ended_any().await;
        }
        Ok(())
    }

    fn ring(&self, any: bool) {
        if any { &self.heard_any } else { &self.heard_steps }.store(true, Ordering::Relaxed);
        if let Some(bell) = lock(&self.bell).as_ref() {
            bell.ring();
        }
    }

    /// Has ends looked for: that reads, and must not keep the thread that drives the connections.
    async fn ended_any(&self) {
        let on_end = lock(&self.on_end).clone();
        if let Some(on_end) = on_end {
            let look = tokio::task::spawn_blocking(move || on_end(Ended::Any));
            if let Err(error) = look.await {
                tracing::debug!(%error, "Ends of tasks could not be looked for");
            }
        }
    }

    fn ended(&self, ended: Ended<'_>) {
        let on_end = lock(&self.on_end).clone();
        if let Some(on_end) = on_end {
            on_end(ended);
        }
    }
}

/// Tells the others who waits for ends of tasks, or asks.
async fn say(pool: &PgPool, who: &str) {
    // Nothing of it is on the disk: it waits for none.
    let say = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
    let say = sqlx::query(say).bind(WAITING).bind(who);
    if let Err(error) = say.execute(pool).await {
        tracing::debug!(%error, "Workers were not told that this process waits; looking instead");
    }
}

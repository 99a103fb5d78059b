//! Owns: being told that other processes committed. Refuses: being needed: who is not told asks.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::runtime::Handle;

use super::apply::{CHANNEL, DUE};
use crate::channel::Bell;
use crate::store::Change;

/// How long to wait before the next try to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// What has been heard.
#[derive(Default)]
pub(super) struct Listener {
    told_steps: AtomicBool,
    told_any: AtomicBool,
    started: AtomicBool,
    listening: AtomicBool,
    /// The server's process for the connection that writes: what it did is no news.
    own: Arc<AtomicI32>,
}

impl Listener {
    pub(super) fn new(own: Arc<AtomicI32>) -> Listener {
        Listener { own, ..Listener::default() }
    }

    /// Listens on a task of `runtime`, for as long as the store lives. A second call does nothing.
    pub(super) fn start(self: &Arc<Self>, runtime: &Handle, pool: &PgPool, bell: Arc<Bell>) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let (listener, pool) = (Arc::downgrade(self), pool.clone());
        runtime.spawn(async move {
            while let Some(listener) = listener.upgrade() {
                let heard = listener.listen(&pool, &bell).await;
                listener.listening.store(false, Ordering::Relaxed);
                if let Err(error) = heard {
                    tracing::debug!(%error, "Not told of other processes' commits; asking instead");
                }
                drop(listener);
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    /// What was committed since this was last asked.
    pub(super) fn take(&self) -> Option<Change> {
        let steps = self.told_steps.swap(false, Ordering::Relaxed).then_some(Change::Steps);
        steps.max(self.told_any.swap(false, Ordering::Relaxed).then_some(Change::Any))
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    async fn listen(&self, pool: &PgPool, bell: &Bell) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        self.listening.store(true, Ordering::Relaxed);
        // Something may have been missed until now.
        self.tell(bell, true);
        while let Some(notification) = listener.try_recv().await? {
            if notification.process_id().cast_signed() != self.own.load(Ordering::Relaxed) {
                self.tell(bell, notification.payload() == DUE);
            }
        }
        // The connection was lost.
        Ok(())
    }

    fn tell(&self, bell: &Bell, any: bool) {
        if any { &self.told_any } else { &self.told_steps }.store(true, Ordering::Relaxed);
        bell.ring();
    }
}

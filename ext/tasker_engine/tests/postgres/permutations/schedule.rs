//! Two threads that go on only when it is their turn.

use std::sync::mpsc::{channel, Receiver, Sender, TryRecvError};

use sqlx::{Connection, Executor, PgConnection};
use tasker_engine::error::Result;
use tasker_engine::store::postgres::PostgresStore;

use super::operations::Operation;
use super::world::World;
use crate::harness::PATIENCE;

/// Parts of an operation: up to what it loads, what it writes, its commit.
const PARTS: usize = 3;

/// Where an operation waits for its turn.
pub struct Gate {
    go: Receiver<()>,
    done: Sender<()>,
}

impl Gate {
    /// The next part begins when it is its turn.
    pub fn pass(&self) {
        let _ = self.done.send(());
        self.go.recv().unwrap();
    }
}

/// All orders in which two times three parts can be played.
pub fn orders() -> Vec<Vec<usize>> {
    let all = 0..1u32 << (2 * PARTS);
    let order = |bits: u32| (0..2 * PARTS).map(|at| (bits >> at & 1) as usize).collect::<Vec<_>>();
    all.filter(|bits| bits.count_ones() as usize == PARTS).map(order).collect()
}

/// Plays two operations in that order, as far as neither waits for the other.
pub fn run(
    stores: [&mut PostgresStore; 2],
    both: [Operation; 2],
    world: &World,
    order: &[usize],
    outside: &mut Outside,
) -> [Result<()>; 2] {
    std::thread::scope(|scope| {
        let mut players = Vec::new();
        for (who, (store, operation)) in stores.into_iter().zip(both).enumerate() {
            let ((go, gone), (done, finished)) = (channel(), channel());
            let thread = scope.spawn(move || {
                let gate = Gate { go: gone, done };
                gate.go.recv().unwrap();
                let ended = operation(store, world, who, &gate);
                // It is done, however early: `done` goes with it.
                drop(gate);
                ended
            });
            players.push((thread, go, finished, 0));
        }
        for &who in order {
            let (_, go, _, owed) = &mut players[who];
            *owed += usize::from(go.send(()).is_ok());
            loop {
                let (_, _, finished, owed) = &mut players[who];
                match finished.try_recv() {
                    Ok(()) => *owed -= 1,
                    Err(TryRecvError::Disconnected) => *owed = 0,
                    Err(TryRecvError::Empty) => {}
                }
                if *owed == 0 || outside.waiting() {
                    break;
                }
            }
        }
        let ended: Vec<_> = players.into_iter().map(|(thread, ..)| thread.join().unwrap()).collect();
        ended.try_into().unwrap()
    })
}

/// Plays one operation from its beginning to its end.
pub fn alone(store: &mut PostgresStore, operation: Operation, world: &World, who: usize) -> Result<()> {
    let ((go, gone), (done, _finished)) = (channel(), channel());
    (0..PARTS).for_each(|_| go.send(()).unwrap());
    operation(store, world, who, &Gate { go: gone, done })
}

/// A session that looks on.
pub struct Outside {
    runtime: tokio::runtime::Runtime,
    session: PgConnection,
}

impl Outside {
    pub fn new(url: &str) -> Outside {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let session = runtime.block_on(PgConnection::connect(url)).unwrap();
        Outside { runtime, session }
    }

    /// Whether some session waits for another one.
    fn waiting(&mut self) -> bool {
        let find = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
        let look =
            async { tokio::time::timeout(PATIENCE, sqlx::query_scalar(find).fetch_one(&mut self.session)).await };
        self.runtime.block_on(look).unwrap().unwrap()
    }

    /// Which rules are broken.
    pub fn wrong(&mut self) -> Vec<String> {
        let find = sqlx::query_scalar(include_str!("rules.sql"));
        self.runtime.block_on(find.fetch_all(&mut self.session)).unwrap()
    }

    /// Leaves nothing for the next time.
    pub fn clear(&mut self) {
        let clear = "DELETE FROM tasker.tasks; DELETE FROM tasker.steps; DELETE FROM tasker.journal; \
            DELETE FROM tasker.workers; DELETE FROM pgmq.q_default_steps";
        self.runtime.block_on(self.session.execute(clear)).unwrap();
    }
}

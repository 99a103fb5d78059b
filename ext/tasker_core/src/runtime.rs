//! Owns: what belongs to this process and to no other: the engine and the Tokio runtime, stamped
//! with the process id. Refuses: creating anything when the library is loaded.
//!
//! Fork rules. After a fork the child has the memory of an engine and a runtime whose threads stayed
//! in the parent. Dropping them would wait for those threads for ever, so they are forgotten, never
//! dropped, and made afresh on first use. `Process._fork` runs inside `around_fork`; every entry
//! compares the stamp too, for forks that do not pass there; then a SQLite file must still be closed: SQLite believes that
//! this process holds the parent's locks, and would take none.
//!
//! The lock is only ever held under the GVL and for moments: no other thread can hold it in a fork.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use magnus::value::ReprValue;
use magnus::{function, Error, Object, RModule, Ruby, Value};
use tasker_engine::bootstrap::Engine;
use tasker_engine::error::Error as EngineError;
use tasker_telemetry as telemetry;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::errors::{guard, Fault};
use crate::gvl;

/// Threads for exporting telemetry; steps never run on them.
const RUNTIME_THREADS: usize = 2;
/// How often a thread that waits for another one's fork looks whether it is over.
const LOOK: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Owned {
    pid: u32,
    engine: Option<Arc<Engine>>,
    runtime: Option<Runtime>,
}

/// The thread that is forking, 0 if none is. Another one that wants to fork waits for it, without the GVL; the same one
/// may (another library's hook forks in turn). No lock: a child could inherit it locked.
static FORKING: AtomicUsize = AtomicUsize::new(0);

static OWNED: Mutex<Owned> = Mutex::new(Owned { pid: 0, engine: None, runtime: None });

/// This process's own; what was inherited from a parent is forgotten first.
fn owned() -> MutexGuard<'static, Owned> {
    let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if owned.pid != pid {
        let inherited = std::mem::take(&mut *owned);
        if inherited.pid != 0 {
            telemetry::forget_after_fork();
        }
        if FORKING.load(Ordering::SeqCst) != this_thread() {
            // Whoever was forking in the parent is not here.
            FORKING.store(0, Ordering::SeqCst);
            if let Some(engine) = &inherited.engine {
                engine.abandon_after_fork();
            }
        }
        std::mem::forget(inherited);
        owned.pid = pid;
    }
    owned
}

/// Forgets what was inherited, if this process is a fork's child that has not been here yet.
pub fn enter_process() {
    drop(owned());
}

/// The open engine.
pub fn engine() -> Result<Arc<Engine>, Fault> {
    owned().engine.clone().ok_or_else(|| {
        EngineError::Stopped("the engine is not open in this process; call TaskerCore.submit or start a worker".into())
            .into()
    })
}

/// Whether the engine is open in this process.
pub fn is_open() -> bool {
    owned().engine.is_some()
}

/// Keeps a newly opened engine, unless another thread was faster: then that one is kept.
pub fn keep(engine: Arc<Engine>) {
    let late = {
        let mut owned = owned();
        if owned.engine.is_none() {
            owned.engine = Some(engine);
            return;
        }
        engine
    };
    late.close();
}

/// The Tokio runtime, created on first use.
pub fn tokio() -> Result<Handle, Fault> {
    let mut owned = owned();
    if let Some(runtime) = &owned.runtime {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("tasker-tokio")
        .enable_all()
        .build()
        .map_err(|error| EngineError::cannot_start("the Tokio runtime", &error))?;
    let handle = runtime.handle().clone();
    owned.runtime = Some(runtime);
    Ok(handle)
}

/// Takes the engine and the runtime out, to be closed.
pub fn take() -> (Option<Arc<Engine>>, Option<Runtime>) {
    let mut owned = owned();
    (owned.engine.take(), owned.runtime.take())
}

/// Lets go of a runtime without waiting longer than `timeout` for what runs on it.
pub fn close(runtime: Runtime, timeout: Duration) {
    runtime.shutdown_timeout(timeout);
}

/// A number of this thread's own.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

/// This thread forks. Undone when it is dropped, however the fork ends; in the child, too.
struct Forking {
    nested: bool,
}

impl Forking {
    /// Waits, without the GVL, until no other thread forks.
    fn begin(ruby: &Ruby) -> Result<Forking, Fault> {
        loop {
            match FORKING.compare_exchange(0, this_thread(), Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(Forking { nested: false }),
                Err(thread) if thread == this_thread() => return Ok(Forking { nested: true }),
                Err(_) => gvl::without(ruby, |_| {
                    std::thread::park_timeout(LOOK);
                    Some(())
                })?,
            }
        }
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        if !self.nested {
            FORKING.store(0, Ordering::SeqCst);
        }
    }
}

/// Runs the block, which forks and returns in the parent, in the child or in both, with the engine held still: the child
/// inherits no lock that nobody would ever open. Blocks under the GVL for as long as the transaction in flight takes; the
/// engine does not need the GVL to end it.
fn around_fork(ruby: &Ruby) -> Result<Value, Error> {
    guard(ruby, || {
        let block = ruby.block_proc()?;
        let forking = Forking::begin(ruby)?;
        let Some(engine) = owned().engine.clone().filter(|_| !forking.nested) else {
            return Ok(block.call(())?);
        };
        let parent = std::process::id();
        let mut answer = Ok(ruby.qnil().as_value());
        engine.around_fork(&mut || {
            answer = block.call(());
            std::process::id() != parent
        });
        if std::process::id() != parent {
            std::mem::forget(engine);
            enter_process();
        }
        Ok(answer?)
    })
}

fn open_in_this_process(ruby: &Ruby) -> Result<bool, Error> {
    guard(ruby, || Ok(is_open()))
}

/// The file descriptor the web server of this process listens with; nil without one.
fn listening_fd(ruby: &Ruby) -> Result<Option<i32>, Error> {
    guard(ruby, || Ok(owned().engine.as_ref().and_then(|engine| engine.listening_fd())))
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("around_fork", function!(around_fork, 0))?;
    native.define_singleton_method("listening_fd", function!(listening_fd, 0))?;
    native.define_singleton_method("open?", function!(open_in_this_process, 0))
}

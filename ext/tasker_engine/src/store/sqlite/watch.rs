//! Owns: telling other processes of a commit, and hearing of theirs. Who has committed what others may wait for touches
//! the file of the shared memory, which all who have the database open watch: writes to the log are no sign, they come
//! before the commit can be seen. Linux only; elsewhere who wants to know has to look. Refuses: saying what was
//! committed, or by whom.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::bell::Bell;
use crate::interrupt::lock;
use crate::store::groups::News;
use crate::store::{Ended, OnEnd};

/// Whom to tell.
#[derive(Default)]
struct Listeners {
    bell: Mutex<Option<Arc<Bell>>>,
    on_end: Mutex<Option<OnEnd>>,
    news: Mutex<Option<Arc<News>>>,
    watching: AtomicBool,
}

impl Listeners {
    fn tell(&self) {
        if let Some(bell) = lock(&self.bell).as_ref() {
            bell.ring();
        }
        if let Some(news) = lock(&self.news).as_ref() {
            news.ring();
        }
        let on_end = lock(&self.on_end).clone();
        if let Some(on_end) = on_end {
            on_end(Ended::Any);
        }
    }
}

/// Watches one database.
pub(super) struct Watcher {
    touched: PathBuf,
    listeners: Arc<Listeners>,
    thread: Mutex<Option<thread::Watch>>,
}

impl Watcher {
    /// Watches nothing until somebody wants to know.
    pub(super) fn new(database: &str) -> Watcher {
        Watcher { touched: format!("{database}-shm").into(), listeners: Arc::default(), thread: Mutex::default() }
    }

    /// Tells whoever watches that something was committed.
    pub(super) fn hint(&self) {
        thread::touch(&self.touched);
    }

    /// Rings the bell at each hint from now on; `None`: none.
    pub(super) fn rings(&self, bell: Option<Arc<Bell>>) {
        let rings = bell.is_some();
        *lock(&self.listeners.bell) = bell;
        if rings {
            self.start();
        }
    }

    /// Calls at each hint from now on. Says whether it will.
    pub(super) fn on_end(&self, on_end: &OnEnd) -> bool {
        lock(&self.listeners.on_end).get_or_insert_with(|| Arc::clone(on_end));
        self.start();
        self.is_watching()
    }

    /// Rings at each hint from now on. Says whether it will.
    pub(super) fn on_news(&self, news: &Arc<News>) -> bool {
        lock(&self.listeners.news).get_or_insert_with(|| Arc::clone(news));
        self.start();
        self.is_watching()
    }

    pub(super) fn is_watching(&self) -> bool {
        self.listeners.watching.load(Ordering::Relaxed)
    }

    fn start(&self) {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            *thread = thread::Watch::start(&self.touched, &self.listeners)
                .inspect_err(|error| tracing::debug!(%error, "Not told of other processes' commits; looking instead"))
                .ok();
        }
    }
}

#[cfg(target_os = "linux")]
mod thread {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::atomic::Ordering;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags};
    use rustix::fs::inotify::{add_watch, init, CreateFlags, Reader, WatchFlags};
    use rustix::fs::{utimensat, AtFlags, Timespec, Timestamps, CWD, UTIME_NOW};

    use super::Listeners;

    /// How long the thread rests at least after it has told of a commit, and how many times as long as that took: a process
    /// that writes thousands of them a second, perhaps this very one, must not keep it busy.
    const REST: Duration = Duration::from_micros(100);
    const SHARE: u32 = 4;

    pub(super) fn touch(file: &Path) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        // Nobody's fault and no harm: who is not told looks now and then.
        let _ = utimensat(CWD, file, &Timestamps { last_access: now, last_modification: now }, AtFlags::empty());
    }

    /// The thread that waits for the file to be touched; gone when this is dropped.
    pub(super) struct Watch {
        stop: Arc<OwnedFd>,
    }

    impl Watch {
        pub(super) fn start(touched: &Path, listeners: &Arc<Listeners>) -> io::Result<Watch> {
            let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            add_watch(&inotify, touched, WatchFlags::ATTRIB)?;
            let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
            let (stopped, told) = (Arc::clone(&stop), Arc::clone(listeners));
            // From here on nothing is missed, even before the thread runs.
            listeners.watching.store(true, Ordering::Relaxed);
            let started = std::thread::Builder::new().name("tasker-watch".into()).spawn(move || {
                let listeners = told;
                let ended = watch(&inotify, &stopped, &listeners);
                listeners.watching.store(false, Ordering::Relaxed);
                if let Err(error) = ended {
                    tracing::debug!(%error, "No longer told of other processes' commits; looking instead");
                }
            });
            if started.is_err() {
                listeners.watching.store(false, Ordering::Relaxed);
            }
            started.map(|_| Watch { stop })
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            // Cannot fail: the counter is far from its limit.
            let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        }
    }

    fn watch(inotify: &OwnedFd, stop: &OwnedFd, listeners: &Listeners) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            let mut both = [PollFd::new(inotify, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            match poll(&mut both, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !both[1].revents().is_empty() {
                return Ok(());
            }
            drain(inotify, &mut buffer)?;
            let began = Instant::now();
            listeners.tell();
            let rest = REST.max(began.elapsed() * SHARE).min(Duration::from_millis(500));
            let rest = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(rest.subsec_nanos()) };
            let mut stopped = [PollFd::new(stop, PollFlags::IN)];
            if poll(&mut stopped, Some(&rest)).is_ok_and(|ready| ready > 0) {
                return Ok(());
            }
        }
    }

    fn drain(inotify: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<()> {
        let mut reader = Reader::new(inotify, buffer);
        loop {
            match reader.next() {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod thread {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use super::Listeners;

    pub(super) struct Watch;

    pub(super) fn touch(_: &Path) {}

    impl Watch {
        pub(super) fn start(_: &Path, _: &Arc<Listeners>) -> io::Result<Watch> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }
    }
}

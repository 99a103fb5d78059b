//! Owns: what a worker has of the machine it runs on: who it is, whether another one there is dead, and which of that
//! one's claims its handlers had begun.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crate::channel::BegunRecord;
use crate::clock::{Clock, Micros};
use crate::ids;
use crate::store::WorkerProcess;

/// What a worker has of its machine. A simulation has one of its own.
pub trait Machine: Send + Sync {
    /// This process as a worker.
    fn this_process(&self, now: Micros) -> WorkerProcess;
    /// Whether the process of a worker of the same host is certainly gone.
    fn is_dead(&self, worker: &WorkerProcess) -> bool;
    /// Where a worker writes down which claims its handlers begin. `None`: nowhere; then all of them count as begun.
    fn record(&self, worker_id: &str) -> Option<Arc<dyn BegunRecord>>;
    /// The claims that handlers of a worker had begun of late, when its process is gone.
    fn begun(&self, worker_id: &str) -> Option<HashSet<u64>>;
    /// Nobody will ask about that worker again.
    fn forget(&self, worker_id: &str);
}

/// The machine this runs on.
pub(crate) struct ThisMachine;

impl Machine for ThisMachine {
    fn this_process(&self, now: Micros) -> WorkerProcess {
        this_process(now)
    }

    fn is_dead(&self, worker: &WorkerProcess) -> bool {
        is_dead(worker, &System)
    }

    fn record(&self, worker_id: &str) -> Option<Arc<dyn BegunRecord>> {
        let record = RecordFile::create(&record_path(worker_id));
        let failed = |error: &io::Error| tracing::debug!(%error, "Claims made ahead count as attempts from the start");
        record.inspect_err(failed).ok().map(|record| Arc::new(record) as _)
    }

    fn begun(&self, worker_id: &str) -> Option<HashSet<u64>> {
        let bytes = std::fs::read(record_path(worker_id)).ok()?;
        Some(bytes.chunks_exact(8).map(|token| u64::from_ne_bytes(token.try_into().unwrap_or_default())).collect())
    }

    fn forget(&self, worker_id: &str) {
        // It may be another user's, or gone.
        let _ = std::fs::remove_file(record_path(worker_id));
    }
}

/// Tokens that the file holds; the oldest is overwritten. Many more than a worker has claims of which its row says that
/// no handler had begun them.
const RECORDED: u64 = 8192;

/// A file in the folder for temporary ones: what a process wrote is there when it was killed, and gone with the machine's
/// next start, as are the processes.
struct RecordFile {
    file: File,
    next: AtomicU64,
}

fn record_path(worker_id: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tasker-{worker_id}.begun"))
}

impl RecordFile {
    fn create(path: &Path) -> io::Result<RecordFile> {
        let mut options = File::options();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(RecordFile { file: options.open(path)?, next: AtomicU64::new(0) })
    }
}

impl BegunRecord for RecordFile {
    fn begins(&self, token: u64) {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % RECORDED;
        if let Err(error) = self.file.write_all_at(&token.to_ne_bytes(), slot * 8) {
            tracing::debug!(%error, "A claim that a handler begins could not be written down");
        }
    }
}

fn this_process(now: Micros) -> WorkerProcess {
    let pid = std::process::id();
    let name = read("/proc/sys/kernel/hostname").unwrap_or_else(|| "host".into());
    let unique = ids::uuid_v7(now).simple().to_string();
    let worker_id = Arc::from(format!("worker-{name}-{pid}-{}", &unique[unique.len() - 8..]));
    let stat = System.stat(pid).unwrap_or_default();
    let process_started = started(&stat).flatten().unwrap_or_default().to_owned();
    WorkerProcess { worker_id, host: host(), pid, process_started }
}

/// Names the machine and the process space that a pid means something in; empty where the system does
/// not tell, and then a dead worker is noticed only when its lease runs out.
fn host() -> String {
    let boot = Clock::System.boot_id();
    let space = std::fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string());
    // Copies of a virtual machine that was running may share the rest.
    let machine = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_default();
    match (boot, space) {
        (Some(boot), Some(space)) => format!("{boot} {space} {machine}"),
        _ => String::new(),
    }
}

/// What a machine tells of its processes.
trait Processes {
    /// `/proc/PID/stat`.
    fn stat(&self, pid: u32) -> io::Result<String>;
    /// Whether there is certainly no such process.
    fn is_gone(&self, pid: u32) -> bool;
}

struct System;

impl Processes for System {
    fn stat(&self, pid: u32) -> io::Result<String> {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
    }

    fn is_gone(&self, pid: u32) -> bool {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }
}

/// Whether the worker's process is certainly gone. What cannot be read says nothing: this process may have no file
/// descriptor left, or may not see the processes of other users.
fn is_dead(worker: &WorkerProcess, processes: &dyn Processes) -> bool {
    if worker.process_started.is_empty() {
        return false;
    }
    match processes.stat(worker.pid) {
        Ok(stat) => started(&stat).is_some_and(|started| started != Some(worker.process_started.as_str())),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(SRCH) => {
            processes.is_gone(worker.pid)
        }
        Err(_) => false,
    }
}

/// What reading a file of a process gives that ended meanwhile.
const SRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// When the process started, in the kernel's ticks; `Some(None)` when it only waits to be buried, `None` when the text
/// makes no sense.
fn started(stat: &str) -> Option<Option<&str>> {
    // The second field is the name in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    Some((state != "Z" && state != "X").then_some(start))
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of one process.
    struct OneProcess(Result<&'static str, io::ErrorKind>, bool);

    impl Processes for OneProcess {
        fn stat(&self, _: u32) -> io::Result<String> {
            self.0.map(str::to_owned).map_err(io::Error::from)
        }

        fn is_gone(&self, _: u32) -> bool {
            self.1
        }
    }

    #[test]
    fn this_process_is_alive_and_another_birth_is_not() {
        let mut worker = this_process(Micros(0));
        assert!(!is_dead(&worker, &System));
        worker.process_started = "1".into();
        assert!(is_dead(&worker, &System));
    }

    #[test]
    fn what_a_handler_began_is_known_without_the_process() {
        let worker_id = format!("test-{}", ids::span_id());
        let record = ThisMachine.record(&worker_id).unwrap();
        (1..=3).for_each(|token| record.begins(token));
        assert_eq!(ThisMachine.begun(&worker_id), Some(HashSet::from([1, 2, 3])));
        (4..RECORDED + 4).for_each(|token| record.begins(token));
        let begun = ThisMachine.begun(&worker_id).unwrap();
        assert!(!begun.contains(&3) && begun.contains(&4) && begun.len() == RECORDED as usize);
        ThisMachine.forget(&worker_id);
        assert_eq!(ThisMachine.begun(&worker_id), None);
    }

    #[test]
    fn a_process_of_which_nothing_can_be_read_is_not_taken_for_dead() {
        let worker = WorkerProcess { process_started: "77".into(), ..this_process(Micros(0)) };
        let dead = |stat, gone| is_dead(&worker, &OneProcess(stat, gone));
        // Hidden from this user: it cannot be seen, and can be sent a signal or is somebody else's.
        assert!(!dead(Err(io::ErrorKind::NotFound), false));
        assert!(!dead(Err(io::ErrorKind::PermissionDenied), true));
        // This process has no file descriptor left.
        assert!(!dead(Err(io::ErrorKind::Other), true));
        assert!(!dead(Ok("half a li"), false));
        assert!(dead(Err(io::ErrorKind::NotFound), true));
        assert!(!dead(Ok("9 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 77 20"), false));
        assert!(dead(Ok("9 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 78 20"), false));
        assert!(dead(Ok("9 (a) b) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 77 20"), false));
    }
}

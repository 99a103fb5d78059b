//! Owns: who a worker is, and how it sees that another one on its machine is dead.

use std::io;
use std::sync::Arc;

use crate::ids::Dice;
use crate::store::{Store, WorkerProcess};

/// This process as a worker.
pub(super) fn this_process(now: crate::clock::Micros, dice: &mut Dice) -> WorkerProcess {
    let pid = std::process::id();
    let name = read("/proc/sys/kernel/hostname").unwrap_or_else(|| "host".into());
    let unique = dice.uuid_v7(now).simple().to_string();
    let worker_id = Arc::from(format!("worker-{name}-{pid}-{}", &unique[unique.len() - 8..]));
    let stat = System.stat(pid).unwrap_or_default();
    let process_started = started(&stat).flatten().unwrap_or_default().to_owned();
    WorkerProcess { worker_id, host: host(), pid, process_started }
}

/// Names the machine and the process space that a pid means something in; empty where the system does
/// not tell, and then a dead worker is noticed only when its lease runs out.
pub(super) fn host() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id");
    let space = std::fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string());
    // Copies of a virtual machine that was running may share the rest.
    let machine = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_default();
    match (boot, space) {
        (Some(boot), Some(space)) => format!("{boot} {space} {machine}"),
        _ => String::new(),
    }
}

/// Workers of this machine whose process is gone.
pub(super) fn dead_workers(store: &mut dyn Store, me: &WorkerProcess) -> Vec<String> {
    if me.host.is_empty() {
        return Vec::new();
    }
    let listed = store.begin().and_then(|mut transaction| transaction.workers(&me.host));
    let workers = listed.unwrap_or_default();
    let dead = workers.into_iter().filter(|worker| worker.worker_id != me.worker_id && is_dead(worker, &System));
    dead.map(|worker| worker.worker_id.to_string()).collect()
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
    use crate::clock::Micros;

    /// A machine of one process.
    struct Machine(Result<&'static str, io::ErrorKind>, bool);

    impl Processes for Machine {
        fn stat(&self, _: u32) -> io::Result<String> {
            self.0.map(str::to_owned).map_err(io::Error::from)
        }

        fn is_gone(&self, _: u32) -> bool {
            self.1
        }
    }

    #[test]
    fn this_process_is_alive_and_another_birth_is_not() {
        let mut worker = this_process(Micros(0), &mut Dice::seeded(1));
        assert!(!is_dead(&worker, &System));
        worker.process_started = "1".into();
        assert!(is_dead(&worker, &System));
    }

    #[test]
    fn a_process_of_which_nothing_can_be_read_is_not_taken_for_dead() {
        let worker = WorkerProcess { process_started: "77".into(), ..this_process(Micros(0), &mut Dice::seeded(1)) };
        let dead = |stat, gone| is_dead(&worker, &Machine(stat, gone));
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

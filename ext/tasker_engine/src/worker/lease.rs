//! Owns: who a worker is, how often it renews, and how it sees that another one is dead.

use std::sync::Arc;

use crate::ids;
use crate::store::{Store, WorkerProcess};

/// This process as a worker.
pub(super) fn this_process(now: crate::clock::Micros) -> WorkerProcess {
    let pid = std::process::id();
    let name = read("/proc/sys/kernel/hostname").unwrap_or_else(|| "host".into());
    let unique = ids::uuid_v7(now).simple().to_string();
    let worker_id = Arc::from(format!("worker-{name}-{pid}-{}", &unique[unique.len() - 8..]));
    WorkerProcess { worker_id, host: host(), pid, process_started: started(pid).unwrap_or_default() }
}

/// Names the machine and the process space that a pid means something in; empty where the system does
/// not tell, and then a dead worker is noticed only when its leases run out.
pub(super) fn host() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id");
    let space = std::fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string());
    match (boot, space) {
        (Some(boot), Some(space)) => format!("{boot} {space}"),
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
    let dead = workers.into_iter().filter(|worker| worker.worker_id != me.worker_id && is_dead(worker));
    dead.map(|worker| worker.worker_id.to_string()).collect()
}

/// Whether the worker's process is gone.
fn is_dead(worker: &WorkerProcess) -> bool {
    !worker.process_started.is_empty() && started(worker.pid).as_ref() != Some(&worker.process_started)
}

/// When a process started, in the kernel's ticks; `None` when there is no such process (or it only
/// waits to be buried).
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (state != "Z" && state != "X").then(|| start.to_owned())
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Micros;

    #[test]
    fn this_process_is_alive_and_another_birth_is_not() {
        let mut worker = this_process(Micros(0));
        assert!(!is_dead(&worker));
        worker.process_started = "1".into();
        assert!(is_dead(&worker));
    }
}

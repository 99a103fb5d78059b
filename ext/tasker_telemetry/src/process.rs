//! Owns: what the system says of this process. Refuses: to fail where the system does not say it.

/// Linux counts a process's times in hundredths of a second, on every architecture it shows them to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A number from /proc/self/status; `None` where there is none.
pub(crate) fn status(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Field `at` of /proc/self/stat, counted from the state, which is 0.
fn stat(at: usize) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(at)?.parse().ok()
}

/// Bytes of memory that the process has, and its threads; `None` where the system does not say.
pub fn resources() -> (Option<u64>, Option<u64>) {
    let number = |field, unit: u64| status(field).map(|count| count as u64 * unit);
    (number("VmRSS:", 1024), number("Threads:", 1))
}

pub(crate) fn cpu_seconds() -> Option<f64> {
    Some((stat(11)? + stat(12)?) / TICKS_PER_SECOND)
}

pub(crate) fn started_at() -> Option<f64> {
    let stat_file = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat_file.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat(19)? / TICKS_PER_SECOND)
}

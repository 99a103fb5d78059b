//! Stories that need a process of their own: telemetry, its console and its environment are one for
//! the whole process.
#![allow(dead_code)]

use std::process::{Command, Output};

/// Set in the child that plays the story.
const ALONE: &str = "TASKER_STORY_ALONE";

/// Plays `story`, which is (part of) the test named `test`, in a child process with `vars` in its environment.
/// The child fails, the test fails. Returns what the child printed; `None` inside the child.
pub fn alone(test: &str, vars: &[(&str, &str)], story: impl FnOnce()) -> Option<Output> {
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        story();
        return None;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars() {
        let about_telemetry = ["OTEL_", "TELEMETRY_", "TASKER_", "LOG_", "RUST_LOG", "DEPLOYMENT_"];
        if about_telemetry.iter().any(|prefix| name.starts_with(prefix)) {
            child.env_remove(name);
        }
    }
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ALONE, test);
    let output = child.envs(vars.iter().copied()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} failed alone:\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{test} is not the test's name:\n{stdout}");
    Some(output)
}

/// What the child wrote to standard error.
pub fn console(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The runtime of Phase 2, as the skin makes it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Threads of this process.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

//! A process to be killed: this same test binary, playing a part of the test that starts it.
#![allow(dead_code, clippy::print_stdout)]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Names the database, in the child.
const DATABASE: &str = "TASKER_CHILD_DATABASE";
/// Begins the lines that are meant for the parent; the test harness writes others.
const MARK: &str = "child says: ";

/// In the child: the database to work on. In the parent: none.
pub fn database() -> Option<String> {
    std::env::var(DATABASE).ok()
}

/// In the child: tells the parent.
pub fn say(line: &str) {
    println!("\n{MARK}{line}");
}

/// In the child: waits to be killed.
pub fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// The process, as its parent sees it. Killed when dropped.
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `test` once more, as a child that works on `database`.
    pub fn start(test: &str, database: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(DATABASE, database)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Process { child, lines }
    }

    /// Waits for the child's next word.
    pub fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the child ended by itself");
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return said.to_owned();
            }
        }
    }

    /// SIGKILL. The child is dead when this returns.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

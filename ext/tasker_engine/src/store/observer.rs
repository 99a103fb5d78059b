//! Owns: what a store says of itself to whoever counts it. Refuses: to know who that is.

/// Is told what a store's memory spared it, and how long its notifications took. Must not block. `()` listens to nothing.
pub trait Observer: Send + Sync {
    /// A template was looked for in memory.
    fn template(&self, found: bool) {
        let _ = found;
    }

    /// A task was looked for in memory.
    fn task(&self, found: bool) {
        let _ = found;
    }

    /// A notification of this process's own was heard so many milliseconds after its commit was sent.
    fn notification(&self, milliseconds: f64) {
        let _ = milliseconds;
    }
}

impl Observer for () {}

//! Owns: timing the two phases of telemetry in a process that has done nothing else, as the extension
//! goes through them: `{"phase1_ms":…,"phase2_ms":…}`. Phase 2 arms the exporter when the environment
//! says so. Refuses: timing the engine.

use std::io::Write;
use std::time::{Duration, Instant};

use tasker_telemetry as telemetry;

fn main() -> std::io::Result<()> {
    let began = Instant::now();
    telemetry::init_console_only();
    let phase1 = began.elapsed();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let began = Instant::now();
    telemetry::init_tracing(runtime.handle(), telemetry::Overrides::default());
    let phase2 = began.elapsed();

    telemetry::shutdown(Duration::from_secs(1));
    writeln!(
        std::io::stdout(),
        "{{\"phase1_ms\":{:.4},\"phase2_ms\":{:.4}}}",
        phase1.as_secs_f64() * 1000.0,
        phase2.as_secs_f64() * 1000.0
    )
}

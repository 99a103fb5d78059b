# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"

# bin/imports, run as bin/lint runs it, on made-up trees.
RSpec.describe "bin/imports" do
  let(:script) { File.expand_path("../../bin/imports", __dir__) }
  let(:root) { Dir.mktmpdir("imports") }

  after { FileUtils.rm_rf(root) }

  def write(path, text)
    file = File.join(root, path)
    FileUtils.mkdir_p(File.dirname(file))
    File.write(file, text)
  end

  def faults
    out, status = Open3.capture2e("ruby", "-w", script, root)
    expect(status.exitstatus).to eq(out.empty? ? 0 : 1)
    out.lines(chomp: true)
  end

  it "finds nothing in this repository" do
    out, status = Open3.capture2e("ruby", "-w", script)
    expect([status.exitstatus, out]).to eq([0, ""])
  end

  it "takes imports that point down" do
    write("ext/tasker_engine/src/engine/claim.rs",
          "use crate::store::Store;\nuse crate::{clock::Micros, plan::{self, Plan}};\n")
    write("ext/tasker_telemetry/src/export/deferred.rs",
          "use opentelemetry_sdk::trace::SdkTracer;\nuse crate::config::Config;\nuse crate::record::line;\n")
    write("ext/tasker_telemetry/src/console.rs", "use tracing_subscriber::fmt;\nuse crate::gate::Gate;\n")
    write("ext/tasker_engine/src/store/sqlite.rs", "use rusqlite::Connection;\nuse crate::graph::Graph;\n")
    write("ext/tasker_engine/src/engine/report.rs", "use tasker_telemetry::record::spans;\n")
    write("ext/tasker_engine/src/web.rs", "fn f() { tasker_telemetry::prometheus_text() }\n")
    write("ext/tasker_core/src/convert.rs", "use magnus::Ruby;\nuse rb_sys::VALUE;\n")
    expect(faults).to eq([])
  end

  it "names file, line, rule and hint of an import that points up" do
    write("ext/tasker_engine/src/plan/finalize.rs", "//! Header.\n\nuse crate::{clock::Micros,\n  store::Store};\n")
    expect(faults).to eq(["ext/tasker_engine/src/plan/finalize.rs:4: `plan` imports `store`: " \
                          "imports point down only; move what both need below `plan`, or pass it in"])
  end

  it "refuses neighbours of one layer, and paths without a use" do
    write("ext/tasker_engine/src/engine.rs", "fn f() { crate::submission::check(); super::web::serve(); }\n")
    expect(faults).to contain_exactly(
      a_string_starting_with("ext/tasker_engine/src/engine.rs:1: `engine` imports `submission`: they are of one layer"),
      a_string_starting_with("ext/tasker_engine/src/engine.rs:1: `engine` imports `web`: imports point down only")
    )
  end

  it "keeps telemetry's rooms apart" do
    write("ext/tasker_telemetry/src/record/spans.rs", "use crate::export::push;\nuse opentelemetry::Context;\n")
    write("ext/tasker_telemetry/src/console.rs", "use crate::export::complaints;\n")
    expect(faults).to contain_exactly(
      a_string_including("spans.rs:1: `record` imports `export`: imports point down only"),
      a_string_including("spans.rs:2: `opentelemetry` outside its room"),
      a_string_including("console.rs:1: `console` imports `export`: they are of one layer")
    )
  end

  it "shows the engine telemetry's facts only, and plan and store not even these" do
    write("ext/tasker_engine/src/engine.rs", "fn f() { tasker_telemetry::flush(FOREVER) }\n")
    write("ext/tasker_engine/src/plan/claim.rs",
          "use tasker_telemetry::record::spans;\nuse tasker_telemetry::time::Micros;\n")
    write("ext/tasker_engine/src/store.rs", "use tasker_telemetry::record::metrics;\n")
    expect(faults).to contain_exactly(
      a_string_including("engine.rs:1: `tasker_telemetry::flush` outside its room: the engine sees"),
      a_string_including("claim.rs:1: `tasker_telemetry::record` outside its room: plan and store know nothing"),
      a_string_including("store.rs:1: `tasker_telemetry::record` outside its room")
    )
  end

  it "keeps each foreign crate in its room" do
    write("ext/tasker_engine/src/plan.rs", "use opentelemetry::trace::Span;\nuse tracing_subscriber as ts;\n")
    write("ext/tasker_engine/src/engine.rs", "fn f() { rusqlite::Connection::open_in_memory(); }\n")
    write("ext/tasker_engine/src/web.rs", "use magnus::Ruby;\n")
    expect(faults).to contain_exactly(
      a_string_including("plan.rs:1: `opentelemetry` outside its room: only tasker_telemetry's export/"),
      a_string_including("plan.rs:2: `tracing_subscriber` outside its room"),
      a_string_including("engine.rs:1: `rusqlite` outside its room: only store/ may name it"),
      a_string_including("web.rs:1: `magnus` outside its room: the engine knows no Ruby")
    )
  end

  it "lets only bootstrap and shutdown name a concrete store" do
    write("ext/tasker_engine/src/bootstrap.rs", "use crate::store::sqlite::SqliteStore;\n")
    write("ext/tasker_engine/src/engine/settle.rs", "use crate::store::sqlite::SqliteStore;\n")
    expect(faults).to contain_exactly(
      a_string_including("engine/settle.rs:1: `store::sqlite` outside its room: only bootstrap and shutdown name")
    )
  end

  it "keeps Ruby out of the engine's manifest" do
    write("ext/tasker_engine/Cargo.toml", "[dependencies]\nmagnus = \"0.9\"\n")
    expect(faults).to contain_exactly(a_string_including("Cargo.toml:2: the engine depends on `magnus`"))
  end

  it "asks for a layer for every new module" do
    write("ext/tasker_engine/src/util.rs", "\n")
    expect(faults).to contain_exactly(a_string_including("module `util` has no layer"))
  end

  it "passes over comments, strings and test modules" do
    write("ext/tasker_engine/src/plan.rs", <<~RUST)
      //! Unlike crate::store, this is pure; rusqlite:: stays out.
      const HINT: &str = "see crate::store::Store and rusqlite::Connection";
      const QUOTE: char = '"';

      #[cfg(test)]
      mod tests {
          use crate::store::Store;
          fn f() { rusqlite::open(); }
      }
    RUST
    expect(faults).to eq([])
  end

  it "lets only native.rb load the extension" do
    write("lib/tasker_core/native.rb", "require \"tasker_core/tasker_core\"\n")
    write("lib/tasker_core/client.rb", "# frozen_string_literal: true\n\nrequire \"tasker_core/tasker_core\"\n")
    expect(faults).to contain_exactly(
      a_string_starting_with("lib/tasker_core/client.rb:3: loads the extension: only lib/tasker_core/native.rb")
    )
  end

  it "refuses a circle of require_relative" do
    write("lib/tasker_core.rb", "require_relative \"tasker_core/client\"\n")
    write("lib/tasker_core/client.rb", "require_relative \"../tasker_core\"\n")
    expect(faults).to include(
      a_string_starting_with("lib/tasker_core.rb:1: requires `lib/tasker_core/client.rb`, which requires it back")
    )
  end

  it "refuses a file over 400 lines" do
    write("lib/tasker_core/long.rb", "\n" * 401)
    expect(faults).to contain_exactly(a_string_including("lib/tasker_core/long.rb:401: 401 lines: none over 400"))
  end
end

# frozen_string_literal: true

Gem::Specification.new do |spec|
  spec.name = "tasker_core"
  # One version for the gem and both crates.
  spec.version = File.read(File.join(__dir__, "Cargo.toml"))[/^version = "([^"]+)"/, 1]
  spec.authors = ["The tasker_core contributors"]
  spec.summary = "Durable, traced workflows for Ruby, with a Rust core."
  spec.description = "Define a workflow as a graph of steps, write the steps in Ruby, and get retries, crash " \
                     "recovery and one OpenTelemetry trace per run, on SQLite inside the process or on PostgreSQL."
  spec.license = "MIT"
  spec.homepage = "https://rubygems.org/gems/tasker_core"
  spec.metadata = { "rubygems_mfa_required" => "true" }

  spec.required_ruby_version = ">= 3.1"
  # Globs, not `git ls-files`: a gem can be built from an unpacked tarball too. It is built with --locked, so the
  # workspace's manifest and lock travel with all crates.
  spec.files = Dir.glob(
    %w[
      Cargo.toml Cargo.lock README.md LICENSE CHANGELOG.md
      ext/tasker_core/*.rb ext/tasker_{telemetry,engine,core}/Cargo.toml ext/tasker_{telemetry,engine,core}/build.rs
      ext/tasker_{telemetry,engine,core}/{src,migrations}/**/{*.rs,*.sql,*.json,LICENSE}
      lib/**/*.rb exe/* docs/**/*.md
    ], base: __dir__
  ).select { |file| File.file?(File.join(__dir__, file)) }.sort
  spec.require_paths = ["lib"]
  spec.bindir = "exe"
  spec.executables = Dir.glob("*", base: File.join(__dir__, "exe")).sort
  # Needs Rust, a C compiler and libclang, and says so.
  spec.extensions = ["ext/tasker_core/extconf.rb"]
end

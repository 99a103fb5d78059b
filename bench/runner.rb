# frozen_string_literal: true

require "English"
require "fileutils"
require "json"
require "open3"

# Owns: running the benchmarks' processes and reading their figures; building and running what is in Rust.
module Runner
  ROOT = File.expand_path("..", __dir__)
  LOGS = File.join(ROOT, "tmp/bench")

  class << self
    # Runs one benchmark in a fresh process; its console goes to a file.
    # @return [Hash{String => Numeric}]
    def figures(name, env = {})
      FileUtils.mkdir_p(LOGS)
      log = File.join(LOGS, "#{name}.log")
      command = [RbConfig.ruby, "-I#{File.join(ROOT, 'lib')}", File.join(ROOT, "bench/#{name}.rb")]
      # A benchmark of benchmarks tells its progress itself.
      streams = name == "telemetry" ? {} : { err: log }
      out = IO.popen([env, *command, streams], &:read)
      abort "bench: #{name} failed; its log is #{log}\n#{out}" unless $CHILD_STATUS.success?

      JSON.parse(out.lines.last)
    end

    # Starts the OTLP sink; yields its endpoint and a block that ends it and gives its counts.
    def with_sink
      sink = IO.popen([example("otlp_sink")], "r+")
      counted = nil
      counts = lambda do
        sink.close_write
        counted ||= JSON.parse(sink.read)
      end
      yield sink.gets.chomp, counts
    ensure
      if sink
        counts.call # it prints them in any case
        sink.close
      end
    end

    # The engine's example binary of that name, built if need be.
    def example(name)
      @examples ||= {}
      @examples[name] ||= build(name)
    end

    # How many tasks a throughput run has.
    def tasks
      Integer(ENV.fetch("TASKS", "10000"))
    end

    def median(sample)
      sample.sort[sample.size / 2]
    end

    private

    def build(name)
      warn "bench: making #{name}; the first time this takes some minutes"
      command = %w[cargo build --release --locked --package tasker_telemetry --message-format json --example] + [name]
      out, said, status = Open3.capture3(*command, chdir: ROOT)
      abort "bench: cannot build #{name}\n#{said}" unless status.success?

      out.lines.filter_map { |line| JSON.parse(line)["executable"] }.last
    end
  end
end

# frozen_string_literal: true

# Forks FORKS times (default 300) under load, with telemetry going to a collector in this process, and checks that
# nothing hangs, that no span id repeats, and that what parent and children said has arrived. Exit 1 if not.
#
#     ruby -Ilib bench/forks.rb

require "json"
require "open3"
require "timeout"
require "tmpdir"
require_relative "../spec/support/otlp_sink"

LIMIT = 600
forks = Integer(ENV.fetch("FORKS", "300"))

figures = OtlpSink.open do |sink|
  Dir.mktmpdir do |folder|
    env = sink.env.merge("FORKS" => forks.to_s, "LOG_LEVEL" => "info", "OTEL_EXPORTER_OTLP_TIMEOUT" => "10000",
                         # The load is there to be forked in, not to bury a collector that is written in Ruby.
                         "TASKER_TRACE_SAMPLE" => "load=0.02")
    command = [RbConfig.ruby, "-I#{File.expand_path('../lib', __dir__)}", File.join(__dir__, "forks/parent.rb"),
               File.join(folder, "forks.sqlite3")]
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    output = nil
    IO.popen([env, *command, { err: File.join(folder, "log") }]) do |io|
      Timeout.timeout(LIMIT) { output = io.read }
    rescue Timeout::Error
      Process.kill("KILL", io.pid)
      abort "forks: something hangs after #{LIMIT} s"
    end
    spans = sink.spans
    ids = spans.map(&:span_id)
    roots = spans.select { |span| %w[parent child].include?(span.name) }
    JSON.parse(output.lines.last).merge(
      seconds: (Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).round(1),
      processes: spans.map(&:pid).uniq.size, spans: spans.size, repeated: ids.size - ids.uniq.size,
      children: roots.count { |span| span.name == "child" },
      children_lines: sink.logs.count { |log| log.body == "from the child" },
      parents: roots.count { |span| span.name == "parent" },
      traces: roots.map(&:trace_id).uniq.size
    )
  end
end

puts JSON.generate(figures)
right = figures.values_at("failed", :repeated, :children, :children_lines, :parents, :traces) == [0, 0, *([forks] * 4)]
exit(right)

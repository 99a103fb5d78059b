# frozen_string_literal: true

# A process of bench/chaos.rb: `submit` and `operate` are clients that come and go; `worker` works until it is stopped.
# It keeps a file of its own in which it says who it is, how many completions its engine has refused, and at last that
# it has stopped. As `daemon` it first opens its engine, then becomes a daemon with it open.

require "json"
require "tasker_core"
require_relative "operator"
require_relative "submitter"
require_relative "testify"

module Chaos
  # Owns: the worker's life, and its file.
  class WorkerProcess
    def initialize(lease, path)
      @lease = lease
      @path = path
    end

    def daemonize
      Submitter.new(Testify::LEDGER).submit([1])
      Process.daemon(true, true)
    end

    def run
      worker = TaskerCore::Worker.start(signals: :exit, concurrency: 10, lease_seconds: @lease)
      teller = Thread.new { tell }
      worker.join
      teller.kill.join
      worker.stop
      TaskerCore.shutdown
      write(stopped: true)
    end

    private

    def tell
      loop do
        @refused = TaskerCore.status.dig(:totals, :stale_completions)
        write
        sleep 0.1
      end
    rescue TaskerCore::Error => e
      warn "status: #{e.class}: #{e.message}"
      sleep 0.1
      retry
    end

    def write(**more)
      File.write("#{@path}.new", JSON.generate(pid: Process.pid, refused: @refused || 0, **more))
      File.rename("#{@path}.new", @path)
    end
  end
end

TaskerCore.configure { |config| config.template_paths = [] }
Chaos::Testify.template
ledger = Chaos::Testify::LEDGER

case ARGV
in ["submit", first, last, seconds]
  Chaos::Submitter.new(ledger).run((Integer(first)..Integer(last)).to_a, Float(seconds))
in ["operate", seconds] then Chaos::Operator.new(ledger).run(Float(seconds))
in ["worker" | "daemon" => kind, lease, path]
  worker = Chaos::WorkerProcess.new(Float(lease), path)
  worker.daemonize if kind == "daemon"
  worker.run
else abort "usage: process.rb submit FIRST LAST SECONDS | operate SECONDS | worker|daemon LEASE_SECONDS FILE"
end

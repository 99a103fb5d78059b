# frozen_string_literal: true

require "io/wait"

# A worker in a process of its own, on the same database. It has opened its engine when `new` returns, and works from
# `go` on. Run as a program it is that process.
class WorkerProcess
  LIB = File.expand_path("../lib", __dir__)
  SECONDS = 60

  def self.open(count = 1)
    workers = Array.new(count) { new }
    workers.each(&:go)
    yield workers
  ensure
    workers&.each(&:stop)
  end

  def initialize
    env = { "BENCH_WORKER_DATABASE" => TaskerCore.configuration.database.to_s }
    @pipe = IO.popen([env, RbConfig.ruby, "-I#{LIB}", __FILE__], "r+")
    @pipe.sync = true
    @finished = 0
    expect("open")
  end

  def go
    @pipe.puts("go")
    expect("works")
  end

  # @return [Integer] how many tasks it has brought to their end, as far as it has told
  def finished
    @finished = Integer(@pipe.gets) while @pipe.wait_readable(0) && !@pipe.eof?
    @finished
  end

  # @return [Float] processor seconds
  def cpu_seconds
    File.read("/proc/#{@pipe.pid}/stat").sub(/\A.*\) /, "").split.values_at(11, 12).sum(&:to_i) / 100.0
  end

  # Returns when it has ended.
  def stop
    @pipe.close_write
    @pipe.read
    @pipe.close
  end

  private

  def expect(word)
    said = @pipe.wait_readable(SECONDS) && @pipe.gets
    abort "bench: the worker process said #{said.inspect} in the place of #{word}" unless said&.chomp == word
  end
end

return unless $PROGRAM_NAME == __FILE__

require_relative "stand"

$stdout.sync = true
Stand.configure(ENV.fetch("BENCH_WORKER_DATABASE"))
Stand.linear(4)
TaskerCore.status
puts "open"
exit unless $stdin.gets

worker = TaskerCore::Worker.start
puts "works"
told = 0
until $stdin.wait_readable(0.02)
  finished = TaskerCore.status[:totals][:tasks_finalized]
  puts finished if finished != told
  told = finished
end
worker.stop
TaskerCore.shutdown

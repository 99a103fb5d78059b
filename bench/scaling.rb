# frozen_string_literal: true

# (i) PostgreSQL: 1, 2, 4 and 8 worker processes on one server, all work queued before they begin. Steps a second, from
# the moment they may begin to the last task's end, and the server's processor time for each step. Each has an empty
# database and a process of its own: this one, told how many.
#
#     WORKERS=4 BENCH_DATABASE_URL=postgres://... ruby -Ilib bench/scaling.rb

require_relative "server_cpu"
require_relative "stand"
require_relative "worker_process"

Stand.measure do
  count = Integer(ENV.fetch("WORKERS", "1"))
  Stand.linear(4)
  tasks = Stand.fill(Integer(ENV.fetch("TASKS", "12000")), "linear4")
  server = ServerCpu.new(Stand::POSTGRES)
  workers = Array.new(count) { WorkerProcess.new }
  spent = server.seconds
  began = Stand.now
  workers.each(&:go)
  sleep 0.005 until workers.sum(&:finished) >= tasks.size
  seconds = Stand.now - began
  spent = server.seconds - spent
  own = workers.sum(&:cpu_seconds)
  workers.each(&:stop)
  abort "scaling: not all tasks are complete" unless tasks.all?(&:complete?)
  steps = tasks.size * 4
  { "steps_per_s" => steps / seconds, "server_us" => spent * 1e6 / steps, "worker_us" => own * 1e6 / steps }
    .transform_keys { |key| "postgres.workers#{count}.#{key}" }
end

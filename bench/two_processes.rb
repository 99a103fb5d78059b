# frozen_string_literal: true

# (g) One process submits, another one works: a task of 4 steps, one at a time, from the call of submit to the return of
# wait, beside the same with the worker in the process that submits. The two take turns.

require_relative "stand"
require_relative "worker_process"

ROUNDS = 5

sample = lambda do |count|
  run = lambda do |_number|
    began = Stand.now
    TaskerCore.submit("linear4", { number: 1 }, namespace: "bench").wait(timeout: 10)
    (Stand.now - began) * 1000
  end
  20.times(&run)
  Array.new(count, &run)
end

Stand.measure do
  Stand.linear(4)
  count = Integer(ENV.fetch("TASKS", "1000")) / ROUNDS
  two = []
  one = []
  ROUNDS.times do
    WorkerProcess.open { two.concat(sample.call(count)) }
    TaskerCore::Worker.start
    one.concat(sample.call(count))
    TaskerCore::Worker.stop
  end
  p50, beside = [two, one].map { |times| Stand.percentile(times, 0.5) }
  { "#{Stand.store}.two_processes.p50_ms" => p50, "#{Stand.store}.two_processes.p99_ms" => Stand.percentile(two, 0.99),
    "#{Stand.store}.one_process.p50_ms" => beside, "#{Stand.store}.two_processes.p50_ratio" => p50 / beside }
end

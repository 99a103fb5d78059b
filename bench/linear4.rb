# frozen_string_literal: true

# (a) A task of 4 steps in a line, one at a time: from the call of submit to the return of wait.

require_relative "stand"

Stand.measure do
  Stand.linear(4)
  TaskerCore::Worker.start
  run = lambda do |_number|
    began = Stand.now
    TaskerCore.submit("linear4", { number: 1 }, namespace: "bench").wait(timeout: 10)
    (Stand.now - began) * 1000
  end
  50.times(&run)
  sample = Array.new(Integer(ENV.fetch("TASKS", "1000")), &run)
  { "#{Stand.store}.linear4.p50_ms" => Stand.percentile(sample, 0.5),
    "#{Stand.store}.linear4.p99_ms" => Stand.percentile(sample, 0.99) }
end

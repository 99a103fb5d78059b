# frozen_string_literal: true

# The peer Sidekiq: no-op jobs, all pushed first, then drained with concurrency 10 in this process, from the start of
# its threads to the last job's end. Its log level is WARN: two lines for each job would be most of the work. Prints
# one line of JSON.
#
#     REDIS_URL=redis://... ruby sidekiq_peer.rb JOBS

require "json"
require "sidekiq"
require "sidekiq/cli"
require "sidekiq/launcher"

class NoOpJob
  include Sidekiq::Worker

  def perform(_number); end
end

jobs = Integer(ARGV.fetch(0))
Sidekiq.logger.level = Logger::WARN
Sidekiq.options.merge!(concurrency: 10, queues: ["default"])
(0...jobs).each_slice(1000) do |numbers|
  Sidekiq::Client.push_bulk("class" => NoOpJob, "args" => numbers.map { |number| [number] })
end

waiting = -> { Sidekiq.redis { |redis| redis.llen("queue:default") } }
abort "sidekiq: #{waiting.call} of #{jobs} jobs are queued" unless waiting.call == jobs

launcher = Sidekiq::Launcher.new(Sidekiq.options)
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
launcher.run
sleep 0.01 until waiting.call.zero? && Sidekiq::Processor::WORKER_STATE.size.zero?
seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
puts JSON.generate(jobs_per_s: jobs / seconds)
launcher.stop

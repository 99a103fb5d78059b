# frozen_string_literal: true

# Steps a second with thousands of no-op steps queued, as bench/throughput.rb, for bench/verify_telemetry outage: says
# when the worker starts, gives its figures while it still runs, and then ends as any process does.
#
#     ruby -Ilib bench/verify/flood.rb TASKS

require_relative "../stand"

tasks = Integer(ARGV.fetch(0))
$stdout.sync = true
FileUtils.mkdir_p(Stand::FOLDER)
folder = Dir.mktmpdir("outage", Stand::FOLDER)
at_exit { FileUtils.rm_rf(folder) } # the first one registered is the last to run

TaskerCore.configure do |config|
  config.database = File.join(folder, "tasker.sqlite3")
  config.synchronous = :full
  config.template_paths = []
end
Stand.linear(4)
submitted = Stand.fill(tasks, "linear4")
peak = Stand.resident_mb
watch = Thread.new do
  loop do
    peak = [peak, Stand.resident_mb].max
    sleep 0.05
  end
end
puts JSON.generate(ready: true)

$stdin.gets
steps = tasks * 4
began = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
speed = steps / Stand.drain(submitted)
cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - began
watch.kill
puts JSON.generate(steps_per_s: speed, cpu_us: cpu * 1e6 / steps, peak_mb: peak,
                   web: TaskerCore.status.dig(:web, :address))

$stdin.gets
TaskerCore.shutdown

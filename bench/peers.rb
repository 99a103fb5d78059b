# frozen_string_literal: true

# The same work on the same machine in the same run: ours, DBOS, Sidekiq, PGMQ a row at a time. Rounds are interleaved,
# medians and their ratios end in one table. Each leg has a process and an empty database of its own; all of them
# listen on loopback and are gone at the end. What is missing is installed (PEERS_INSTALL=0 only says what), and a leg
# that cannot run is named, not left out in silence.
#
#     rake bench:peers                      on a throw-away PostgreSQL (bin/postgres), or on TEST_DATABASE_URL's
#     rake bench:peers JSON=figures.json    writes the figures to a file too, as flat keys
#     rake bench:peers ONLY=dbos            the legs with that in their name; ONLY='^ours'
#     rake bench:peers BASE=/path/to/checkout   beside another checkout of this library, built (bin/setup), on SQLite
#     ROUNDS=3 TASKS=10000 LATENCIES=1000 DBOS_TASKS=300 DBOS_LATENCIES=200 JOBS=50000 ROWS_TASKS=1500

require "json"
require_relative "peers/legs"
require_relative "peers/machine"
require_relative "peers/report"

$stdout.sync = true
postgres = ENV["TEST_DATABASE_URL"].to_s
exec(File.expand_path("../bin/postgres", __dir__), "run", RbConfig.ruby, __FILE__) if postgres.empty?

legs = Peers::Legs.new(postgres).all.grep(->((name, _)) { name.match?(ENV.fetch("ONLY", "")) })
machine = Peers::Machine.new(postgres)
puts machine.lines

runs = []
missing = {}
Integer(ENV.fetch("ROUNDS", "3")).times do |round|
  legs.each do |name, leg|
    next if missing.key?(name)

    state = machine.state
    runs << leg.call
    figures = runs.last.map { |key, value| "#{key} #{value.round(1)}" }
    puts "round #{round + 1}, #{name} (#{state}): #{figures.join(', ')}"
  rescue Peers::Missing, Psql::Failed => e
    missing[name] = e.message
    puts "round #{round + 1}, #{name}: #{e.message}"
  end
end

report = Peers::Report.new(runs, missing)
report.print

if (path = ENV.fetch("JSON", nil))
  File.write(path, "#{JSON.pretty_generate(report.figures.transform_values { |value| value.round(3) })}\n")
  puts "", "written to #{path}"
end
exit(missing.empty?)

# frozen_string_literal: true

# Workers whose steps publish domain events, and processes whose subscribers handle them, are killed with SIGKILL at
# random and started again. Then the database and the subscribers' log must say that each step that was committed has
# published exactly one event, that each group got every event, and that within a key none was passed over and none came
# before an earlier one. Exit 1 if not.
#
#     rake bench:event_chaos
#     STORE=postgres EVENTS=100000 SEED=1 rake bench:event_chaos
#     KILLS_PER_SECOND=3 HANDLER_MS=2 WORKERS=2 SUBSCRIBERS=2 LIMIT_SECONDS=900
#
# A seed makes the same choices again, not the same moments.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "fileutils"
require "rbconfig"
require "tmpdir"
require_relative "event_chaos/campaign"
require_relative "event_chaos/verdict"
require_relative "psql"

$stdout.sync = true
store = ENV.fetch("STORE", "sqlite")
abort "event_chaos: STORE is sqlite or postgres, not #{store}" unless %w[sqlite postgres].include?(store)
if store == "postgres" && !ENV["TEST_DATABASE_URL"]
  exec(File.expand_path("../bin/postgres", __dir__), "run", RbConfig.ruby, __FILE__)
end

fine = false
parent = File.expand_path("../tmp/bench", __dir__)
FileUtils.mkdir_p(parent)
folder = Dir.mktmpdir("event_chaos", parent)
run = lambda do |database|
  campaign = EventChaos::Campaign.new(folder, database, ENV)
  campaign.run
  fine = EventChaos::Verdict.new(database, campaign.log, campaign.tasks).print
end
begin
  store == "sqlite" ? run.call("#{folder}/tasker.sqlite3") : Psql.with_database(ENV.fetch("TEST_DATABASE_URL"), &run)
ensure
  fine ? FileUtils.rm_rf(folder) : puts("kept for a look: #{folder}")
end
exit(fine)

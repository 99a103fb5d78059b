# frozen_string_literal: true

# Three worker processes on one PostgreSQL, or on one SQLite file (STORE=sqlite), some of them daemons, while a random
# one is killed with SIGKILL every second and replaced, a random one stopped with SIGSTOP for longer than its lease and
# then let go on, the clocks of single ones are set minutes to an hour forward and back; PostgreSQL's connections are
# delayed, half open, reset, cut with pg_terminate_backend, and the server is restarted, killed with -9, restarted.
# Clients that come and go, and are killed too, submit tasks, cancel some, rerun and resolve what failed. Then the
# database must say that nothing was lost and nothing was made up; what handlers and clients wrote beside it bears
# witness. Exit 1 if it does not.
#
#     rake bench:chaos
#     STORE=sqlite TASKS=20000 SEED=1 rake bench:chaos
#     FAULTS=kill,clock,daemon rake bench:chaos      only these, of kill, pause, clock, client, daemon; cut, network,
#                                                    outage of PostgreSQL
#     BASE=/path/to/checkout rake bench:chaos        the library of another checkout, built (bin/setup)
#     SUBMIT_SECONDS=40 LEASE_SECONDS=2 STOP_SECONDS=8 HANDLER_MS=10 CHAOS_SECONDS=120 LIMIT_SECONDS=420 WORKERS=3
#
# A seed makes the same choices again, not the same moments.

require "fileutils"
require "tmpdir"
require_relative "chaos/campaign"
require_relative "chaos/postgres_store"
require_relative "chaos/sqlite_store"

STORES = { "postgres" => Chaos::PostgresStore, "sqlite" => Chaos::SqliteStore }.freeze

$stdout.sync = true
%w[TERM HUP].each { |signal| trap(signal) { exit(1) } }
settings = Chaos::Settings.new(ENV)
store = STORES.fetch(settings.store) { abort "chaos: STORE is postgres or sqlite, not #{settings.store}" }
parent = File.expand_path("../tmp/bench", __dir__)
FileUtils.mkdir_p(parent)
folder = Dir.mktmpdir("chaos", parent)
store = store.new(folder)
begin
  fine = Chaos::Campaign.new(folder, store, settings).run
ensure
  if fine
    store.remove
    FileUtils.rm_rf(folder)
  else
    store.stop
    puts "kept for a look: #{folder}; #{store.hint}"
  end
end
exit(fine)

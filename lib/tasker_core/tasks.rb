# frozen_string_literal: true

# Rake tasks for the database's schema. Rails loads them by itself. Elsewhere, put this into the Rakefile:
#
#     require "tasker_core/tasks"
#
# They work on the database of `TaskerCore.configure`, which an `environment` task sets up where there is one.
require "rake"

namespace :tasker do
  task :settings do
    Rake::Task["environment"].invoke if Rake::Task.task_defined?("environment")
    require "tasker_core"
  end

  desc "Bring the schema of tasker_core's database up to date"
  task migrate: :settings do
    before, after = TaskerCore.migrate
    puts "The schema #{before == after ? "is at version #{after} already" : "went from version #{before} to #{after}"}"
  rescue TaskerCore::Error => e
    abort "tasker:migrate: #{e.message}"
  end

  namespace :migrate do
    desc "Print the SQL that makes the schema in an empty PostgreSQL database, for those who run it themselves"
    task sql: :settings do
      puts TaskerCore::Native.migration_sql
    end
  end
end

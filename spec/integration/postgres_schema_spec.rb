# frozen_string_literal: true

require "open3"
require "rbconfig"

# Whose hand makes the schema: the worker's own, a role's that may create, or a person's with psql.
RSpec.describe "The schema in PostgreSQL" do
  grants = File.expand_path("../../ext/tasker_engine/migrations/postgres/grants.sql", __dir__)

  def rake(task, database_url)
    env = { "LOG_LEVEL" => "off", "TASKER_DATABASE" => nil, "DATABASE_URL" => database_url }
    program = 'require "rake"; require "tasker_core/tasks"; Rake::Task[ARGV.fetch(0)].invoke'
    Open3.capture3(env, RbConfig.ruby, "-w", "-I", Subprocess::LIB, "-e", program, task)
  end

  # A worker in a process of its own that runs one task to its end.
  def run_a_task(database_url, settings = "")
    ruby(<<~RUBY, env: { "DATABASE_URL" => database_url })
      TaskerCore.configure { |config| config.template_paths = []; #{settings} }
      Double = ->(step) { step.input[:n] * 2 }
      TaskerCore.template("double", namespace: "modest") { step :only, handler: "Double" }
      TaskerCore::Worker.start(concurrency: 1)
      puts TaskerCore.submit("double", { n: 21 }, namespace: "modest").wait(timeout: 20).result
    RUBY
  end

  it "is made by its owner when the worker's role may not, who then needs the grants and no more" do
    with_database do |database|
      modest = database.role_url
      role = URI(modest).user
      _, errors, status = rake("tasker:migrate", modest)
      expect([errors, status.exitstatus]).to match([/\Atasker:migrate: .*#{role} may not create it.*a role with/i, 1])
      _, errors, status = run_a_task(modest)
      expect([errors, status.exitstatus]).to match([/rake tasker:migrate.*StoreError/, 1])

      expect(rake("tasker:migrate", database.url)).to match([/from version 0 to \d+\n/, "", be_success])
      _, errors, status = run_a_task(modest)
      expect([errors, status.exitstatus]).to match([%r{docs/\S*\.md lists the grants.*StoreError}, 1])

      database.sql("SELECT pgmq.create('modest_steps')")
      database.sql(File.read(grants), "-v", "role=#{role}")
      expect(run_a_task(modest)).to match(["{:only=>42}\n", "", be_success])
      expect(run_a_task(modest, "config.migrate = false")).to match(["{:only=>42}\n", "", be_success])
      expect(rake("tasker:migrate", modest)).to match([/already\n/, "", be_success])
    end
  end

  it "is made by hand from what rake tasker:migrate:sql prints" do
    with_database do |database|
      rake("tasker:migrate", database.url) # for PGMQ
      database.sql("DROP SCHEMA tasker CASCADE")
      database.sql(rake("tasker:migrate:sql", nil).first)
      expect(run_a_task(database.url, "config.migrate = false")).to match(["{:only=>42}\n", "", be_success])
    end
  end

  it "is made by TaskerCore.migrate, also where the worker is told not to" do
    with_database do |database|
      configure(database: database.url, migrate: false)
      expect { TaskerCore.engine.open }.to raise_error(TaskerCore::StoreError, /migrate is off: run `rake/)
      before, after = TaskerCore.migrate
      expect([before, TaskerCore.migrate]).to eq([0, [after, after]])
      TaskerCore.engine.open
    end
  end

  it "is used on by processes that run when a newer version migrates it, also on new connections" do
    with_database do |database|
      configure(database: database.url, handlers: { "seven" => ->(_) { 7 } })
      TaskerCore.template("seven") { step :only, handler: "seven" }
      expect(run_task("seven").result).to eq(only: 7)
      database.sql("INSERT INTO tasker.schema_migrations (version, name, works_with) VALUES (2, 'of the future', 2)")
      database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity " \
                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")
      task = wait_until("the connections to be back") do
        TaskerCore.submit("seven")
      rescue TaskerCore::StoreError
        nil
      end
      expect(wait_until { task.wait(timeout: 20) rescue nil }.result).to eq(only: 7) # rubocop:disable Style/RescueModifier
      TaskerCore.shutdown
      expect { TaskerCore.engine.open }.to raise_error(TaskerCore::StoreError, /upgrade the gem/)
    end
  end
end

# frozen_string_literal: true

# PgBouncer: in transaction mode each transaction may have another session.
RSpec.describe "Behind PgBouncer" do
  before { skip "needs PgBouncer (Debian: bin/postgres install)" unless PgBouncer::PROGRAM || ENV["CI"] }

  # @yieldparam database [PostgresSupport::Database]
  # @yieldparam through [Proc] gives the URL that leads through it
  def with_pgbouncer(**settings)
    with_database do |database|
      pooler = PgBouncer.new(URI(database.url), **settings)
      begin
        yield database, ->(query, **parts) { database.url(port: pooler.port, query: query, **parts) }
      ensure
        TaskerCore.shutdown
        pooler.stop
      end
    end
  end

  # Every step fails once, and says how many it depends on.
  def template
    <<~RUBY
      TaskerCore.configure { |config| config.template_paths = [] }
      TaskerCore.template("flaky") do
        again = { max_attempts: 3, backoff: :none, base: 0, jitter: 0 }
        step :one, handler: "Flaky", retry: again
        step :two, handler: "Flaky", depends_on: :one, retry: again
      end
    RUBY
  end

  # Runs the block beside workers in processes of their own.
  def with_workers(count, url, &block)
    return block.call if count.zero?

    program = <<~RUBY
      class Flaky
        def call(step)
          step.attempt > 1 ? step.dependencies.size + step.input[:n] : raise(TaskerCore::RetryableError, "once more")
        end
      end
      TaskerCore::Worker.run(concurrency: 2)
    RUBY
    status = start_ruby(template + program, env: { "DATABASE_URL" => url }) do |_, pid|
      with_workers(count - 1, url, &block)
      Process.kill("TERM", pid)
    end
    expect(status).to be_success
  end

  # @return [Array<TaskerCore::Task>] when all have ended
  def run_tasks(count)
    tasks = TaskerCore.submit_all(Array.new(count) { |n| { name: "flaky", context: { n: n } } })
    tasks.each { |task| task.wait(timeout: 20) }
  end

  # Workers and clients in several processes carry out workflows, and find each other's work by asking.
  def expect_workflows(database, url)
    configure(database: url)
    eval(template) # rubocop:disable Security/Eval
    with_workers(2, url) do
      3.times do # idle in between: what this process submits must be found
        run_tasks(20).each_with_index do |task, n|
          expect([task.result, task.steps.map(&:attempts)]).to eq([{ one: n, two: n + 1 }, [2, 2]])
        end
      end
      activity = "FROM pg_stat_activity WHERE datname = '#{database.name}'"
      expect(database.server_sql("SELECT count(*) #{activity} AND query LIKE 'LISTEN%'")).to eq("0")
      expect(database.server_sql("SELECT DISTINCT application_name #{activity}")).to eq("tasker_core")
    end
    expect(database.sql("SELECT count(*) FROM pgmq.q_default_steps")).to eq("0")
  end

  it "in transaction mode, several processes carry out workflows" do
    with_pgbouncer { |database, through| expect_workflows(database, through.call("pgbouncer=true")) }
  end

  it "in session mode, several processes carry out workflows" do
    settings = { pool_mode: "session", default_pool_size: 40, ignore_startup_parameters: "extra_float_digits" }
    with_pgbouncer(**settings) { |database, through| expect_workflows(database, through.call("pgbouncer=true")) }
  end

  it "a worker that is not told of it does not start, and says what to add" do
    with_pgbouncer do |_, through|
      _, errors, status = ruby("TaskerCore::Worker.start", env: { "DATABASE_URL" => through.call(nil) })
      expect([errors, status.exitstatus])
        .to match([/unsupported startup parameter.*add \?pgbouncer=true to DATABASE_URL/, 1])
    end
  end

  it "a worker with a wrong password is told of that, and of nothing else" do
    with_pgbouncer do |_, through|
      url = through.call("pgbouncer=true", password: "wrong")
      _, errors, status = ruby("TaskerCore::Worker.start", env: { "DATABASE_URL" => url })
      expect([errors, status.exitstatus]).to match([/authentication failed.*Check user and password/, 1])
      expect(errors).not_to include("repared statement")
    end
  end
end

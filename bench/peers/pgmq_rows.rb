# frozen_string_literal: true

# The peer "row-at-a-time PGMQ": what one writes by hand. Ten threads, each with a connection, take one message at a
# time with pgmq.read; a step is then settled in a transaction of its own: its row updated, the next step's message
# sent, its own deleted. Tasks of four no-op steps, all queued first. Prints one line of JSON.
#
#     ruby pgmq_rows.rb DATABASE_URL PGMQ_SQL TASKS

require "json"
require "pg"

STEPS = 4
CONCURRENCY = 10
LEASE_SECONDS = 30
PREPARED = {
  "take" => "SELECT msg_id, message->>'task' AS task, message->>'step' AS step " \
            "FROM pgmq.read('rows', #{LEASE_SECONDS}, 1)",
  "settle" => "UPDATE row_steps SET state = 'complete', result = '{}', completed_at = now() " \
              "WHERE task = $1 AND step = $2 AND state = 'enqueued'",
  "enqueue" => "UPDATE row_steps SET state = 'enqueued' WHERE task = $1 AND step = $2",
  "send" => "SELECT pgmq.send('rows', jsonb_build_object('task', $1::bigint, 'step', $2::int))",
  "delete" => "SELECT pgmq.delete('rows', $1::bigint)"
}.freeze

def prepare(database, pgmq, tasks)
  database.exec("SET client_min_messages = warning")
  database.exec(File.read(pgmq))
  database.exec(<<~SQL)
    SELECT pgmq.create('rows');
    CREATE TABLE row_steps (task bigint, step int, state text NOT NULL, result jsonb, completed_at timestamptz,
                            PRIMARY KEY (task, step));
    INSERT INTO row_steps SELECT task, step, CASE step WHEN 1 THEN 'enqueued' ELSE 'pending' END
      FROM generate_series(1, #{tasks}) task, generate_series(1, #{STEPS}) step;
    SELECT count(*) FROM generate_series(1, #{tasks}) task, pgmq.send('rows', jsonb_build_object('task', task, 'step', 1));
    ANALYZE;
  SQL
end

def no_op; end

def settle(database, message)
  task, step = message.values_at("task", "step").map { |text| Integer(text) }
  database.transaction do
    database.exec_prepared("settle", [task, step])
    if step < STEPS
      database.exec_prepared("enqueue", [task, step + 1])
      database.exec_prepared("send", [task, step + 1])
    end
    database.exec_prepared("delete", [message["msg_id"]])
  end
end

def work(url, left)
  database = PG.connect(url)
  PREPARED.each { |name, sql| database.prepare(name, sql) }
  left[:ready] << true
  left[:go].pop
  loop do
    message = database.exec_prepared("take").first
    next sleep(0.001) unless message || left[:done].positive?
    break unless message

    no_op
    settle(database, message)
  end
  database.close
end

url, pgmq, tasks = ARGV
tasks = Integer(tasks)
admin = PG.connect(url)
prepare(admin, pgmq, tasks)
left = { ready: Queue.new, go: Queue.new, done: 0 }
unfinished = -> { admin.exec("SELECT FROM row_steps WHERE step = #{STEPS} AND state <> 'complete' LIMIT 1").ntuples }

threads = Array.new(CONCURRENCY) { Thread.new { work(url, left) }.tap { |thread| thread.abort_on_exception = true } }
CONCURRENCY.times { left[:ready].pop }
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
CONCURRENCY.times { left[:go] << true }
sleep 0.02 until unfinished.call.zero?
seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
left[:done] = 1
threads.each(&:join)
puts JSON.generate(steps_per_s: tasks * STEPS / seconds)

# frozen_string_literal: true

# (h) 200 threads of one process wait, each for a task of its own, while another process works: what the waiting costs
# for each task that ends, from the submission of all 200 on. On PostgreSQL the queries of the process that waits are
# counted on their way, on SQLite its processor time is; beside that with one waiter, who waits for the last task.

require "uri"
require_relative "proxy"
require_relative "stand"
require_relative "worker_process"

# Counts the queries that go by, in PostgreSQL's protocol.
class QueryCounter
  # Simple queries and executions of prepared ones.
  QUERIES = %w[Q E].freeze

  attr_reader :queries

  def initialize
    @queries = 0
    @lock = Mutex.new
  end

  # One connection's. Its first messages, up to the start-up, have no type.
  def tap
    buffer = +"".b
    started = false
    lambda do |data|
      buffer << data
      while (length = complete(buffer, started))
        message = buffer.slice!(0, length)
        @lock.synchronize { @queries += 1 } if started && QUERIES.include?(message[0])
        # 3.0 begins the session; what else may come before asks for encryption.
        started ||= message[4, 4].unpack1("N") == 196_608
      end
    end
  end

  private

  # @return [Integer, nil] the length of the message that is complete in front
  def complete(buffer, typed)
    head = typed ? 5 : 4
    return if buffer.bytesize < head

    length = buffer[head - 4, 4].unpack1("N") + (typed ? 1 : 0)
    length if buffer.bytesize >= length
  end
end

# Owns: rounds of tasks, and what waiting for them has cost.
class Waiters
  COUNT = 200

  def initialize(counter)
    @counter = counter
    @rounds = Integer(ENV.fetch("WAITER_ROUNDS", "4"))
  end

  # @return [Array<Float>] processor microseconds and queries for each task, if `waited` of each round are waited for
  def cost(waited)
    round(waited)
    spent = Array.new(@rounds) { round(waited) }.transpose.map(&:sum)
    spent.map { |sum| sum / (@rounds * COUNT).to_f }
  end

  private

  def round(waited)
    tasks = Stand.fill(COUNT, "linear4")
    cpu = cpu_us
    queries = @counter&.queries.to_i
    tasks.last(waited).map { |task| Thread.new { task.wait(timeout: 60) } }.each(&:join)
    [cpu_us - cpu, @counter&.queries.to_i - queries]
  end

  def cpu_us
    Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID, :float_microsecond)
  end
end

Stand.measure do
  database = TaskerCore.configuration.database
  WorkerProcess.open do
    if Stand::POSTGRES
      address = URI(database)
      counter = QueryCounter.new
      # Its threads are this process's own: on PostgreSQL only queries are a figure, not processor time.
      proxy = Proxy.new(address.host, address.port, taps: -> { counter.tap })
      address.query = "sslmode=disable"
      TaskerCore.configuration.database = proxy.through(address.to_s)
    end
    Stand.linear(4)
    waiters = Waiters.new(counter)
    many, one = [Waiters::COUNT, 1].map { |waited| waiters.cost(waited) }
    TaskerCore.shutdown
    proxy&.close
    what, which = counter ? %w[queries_per_task last] : %w[cpu_us_per_task first]
    { "#{Stand.store}.waiters.#{what}" => many.public_send(which),
      "#{Stand.store}.one_waiter.#{what}" => one.public_send(which) }
  end
end

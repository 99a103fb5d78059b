# frozen_string_literal: true

# (j) One task of 2,000 steps that may all run at once, against as many steps in tasks of 4: the processor time of this
# process, which submits them and works, and on PostgreSQL of the server, for each step. Where a template may not have
# as many, half of it.

require_relative "server_cpu"
require_relative "stand"

# Owns: the big task, and what it takes beside small ones.
class Wide
  STEPS = [2000, 1000].freeze
  ROUNDS = 5

  attr_reader :steps

  def initialize
    @steps = STEPS.find { |steps| template(steps) } or abort "wide: no template may have #{STEPS.last} steps"
    @server = ServerCpu.new(Stand::POSTGRES) if Stand::POSTGRES
  end

  # @return [Array<Float>] microseconds a step: in one task, in small ones
  def costs
    both = -> { [cost(1, "wide"), cost(@steps / 4, "linear4")] }
    both.call # what only the first ones pay
    Array.new(ROUNDS) { both.call }.transpose.map { |sample| Stand.median(sample) }
  end

  private

  def template(steps)
    TaskerCore.template("wide", namespace: "bench") do
      steps.times { |number| step "step_#{number}", handler: Stand::NoOp }
    end
    true
  rescue TaskerCore::TemplateError => e
    warn "wide: #{e.message}"
    false
  end

  def cost(count, name)
    before = seconds
    goal = finished + count
    tasks = Stand.fill(count, name)
    sleep 0.01 until finished >= goal
    spent = seconds - before
    abort "wide: some tasks are not complete" unless tasks.all?(&:complete?)
    spent * 1e6 / @steps
  end

  def finished
    TaskerCore.status[:totals][:tasks_finalized]
  end

  def seconds
    Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) + (@server ? @server.seconds : 0)
  end
end

Stand.measure do
  Stand.linear(4)
  wide = Wide.new
  TaskerCore::Worker.start
  one, small = wide.costs
  { "#{Stand.store}.wide.cpu_us" => one, "#{Stand.store}.wide.small_cpu_us" => small,
    "#{Stand.store}.wide.steps" => wide.steps, "#{Stand.store}.wide.ratio" => one / small }
end

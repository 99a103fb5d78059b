# frozen_string_literal: true

# An order, from cart to confirmation: the YAML template and the Ruby handlers in order_fulfillment/, run by
# a worker in this process. Prints the steps as they happen, then the trace. `bin/demo` runs this.
#
#     ruby examples/order_fulfillment.rb

checkout = File.expand_path("../lib", __dir__)
$LOAD_PATH.unshift(checkout) if File.directory?(checkout)
ENV["LOG_LEVEL"] ||= "error" # the demo prints what happens itself
require "tasker_core"
require "tmpdir"
require_relative "order_fulfillment/handlers"
require_relative "order_fulfillment/trace_tree"

# Runs one order and prints what happens.
class OrderDemo
  def run
    task = nil
    spans = TaskerCore::Telemetry.capture do
      TaskerCore::Worker.start
      task = submit
      follow(task)
      @exported = TaskerCore::Telemetry.flush
      TaskerCore.shutdown
    end
    report(task, spans.select { |span| span[:trace_id] == task.trace_id })
    task.complete?
  end

  private

  def submit
    TaskerCore.submit("order_fulfillment", { order_id: 4711, cart_id: "cart-7", email: "ada@example.org" },
                      namespace: "orders")
  end

  # The history of a task is append-only: what has come since the last look is news.
  def follow(task)
    puts "Task #{task.task_uuid} in #{TaskerCore.configuration.database}", ""
    shown = 0
    loop do
      final = finished?(task)
      history = task.transitions
      history.drop(shown).each { |transition| print_step(task, transition) if transition.step }
      shown = history.size
      break if final
    end
  end

  def finished?(task)
    task.wait(timeout: 0.02)
    true
  rescue TaskerCore::TimeoutError
    false
  end

  def print_step(task, transition)
    return if %w[pending enqueued].include?(transition.to_state)

    since = (transition.created_at - task.created_at) * 1000
    line = [since, transition.step, transition.to_state, note(transition.metadata)]
    puts format("%9.1f ms  %-18s %-18s%s", *line).rstrip
  end

  def note(metadata)
    error = metadata[:error]
    error = error[:message] if error.respond_to?(:key?)
    ["attempt #{metadata[:attempt]}", error].compact.join(": ") if metadata[:attempt].to_i > 1 || error
  end

  def report(task, spans)
    tree = TraceTree.new(spans)
    puts "", "The task is #{task.state}:"
    task.result.each { |step, result| puts "  #{step}: #{JSON.generate(result)}" }
    puts "", "Its trace #{task.trace_id}, #{spans.size} spans:", tree.lines, ""
    puts collector
  end

  def collector
    endpoint = ENV.fetch("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if ENV["TELEMETRY_ENABLED"] == "true" && !endpoint.empty?
      return "The same spans #{@exported ? 'went' : 'could not all be sent'} to #{endpoint}."
    end

    ["To see it in Jaeger, Tempo or any other OTLP collector:",
     "  TELEMETRY_ENABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 bin/demo"]
  end
end

Dir.mktmpdir("order_fulfillment") do |folder|
  TaskerCore.configure do |config|
    config.database = ENV.fetch("TASKER_DATABASE", File.join(folder, "tasker.sqlite3"))
    config.template_paths = [File.join(__dir__, "order_fulfillment/template.yml")]
  end
  exit(OrderDemo.new.run)
end

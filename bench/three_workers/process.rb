# frozen_string_literal: true

# A process of bench/three_workers.rb: `submit ORDERS` submits orders of examples/, `worker` works on them until it is
# stopped. Each step takes some time, or one worker would do the work of three; the charging of a card has a span of the
# application's own.

require "tasker_core"
require_relative "../../examples/order_fulfillment/handlers"

class Charge < OrderFulfillment::ChargePayment
  def call(step)
    TaskerCore.span("charge card", order_id: step.input["order_id"]) { super }
  end
end

module TakesTime
  def call(step)
    sleep 0.01
    super
  end
end
OrderFulfillment.constants.map { |name| OrderFulfillment.const_get(name) }.grep(Class)
                .each { |handler| handler.prepend(TakesTime) }

TaskerCore.configure do |config|
  config.template_paths = [File.expand_path("../../examples/order_fulfillment/template.yml", __dir__)]
  config.handlers = { "OrderFulfillment::ChargePayment" => Charge }
end

$stdout.sync = true
case ARGV
in ["submit", orders]
  (1..Integer(orders)).each_slice(20) do |numbers|
    TaskerCore.submit_all(numbers.map do |number|
      { name: "order_fulfillment", namespace: "orders",
        context: { order_id: number, cart_id: "cart-7", email: "ada@example.org" } }
    end)
  end
in ["worker"]
  worker = TaskerCore::Worker.start(signals: :exit, concurrency: 5)
  puts "ready"
  worker.join
  worker.stop
else abort "usage: process.rb submit ORDERS | worker"
end

# frozen_string_literal: true

# Owns: a worker with something to do, until SIGTERM: an order each second, of which one in twenty-five cannot be
# fulfilled. Refuses: saying where its telemetry goes: that is in its environment, see compose.yml.
#
#     ruby examples/observability/worker.rb

checkout = File.expand_path("../../lib", __dir__)
$LOAD_PATH.unshift(checkout) if File.exist?(File.join(checkout, "tasker_core.rb")) # else: the gem
require "tasker_core"
require_relative "../order_fulfillment/handlers"

TaskerCore.configure do |config|
  config.template_paths = [File.expand_path("../order_fulfillment/template.yml", __dir__)]
  config.retention_days = 1
end

def order(number)
  cart = (number % 25).zero? ? "cart-none" : "cart-7" # there is no such cart: the order fails
  TaskerCore.submit("order_fulfillment", { order_id: number, cart_id: cart, email: "ada@example.org" },
                    namespace: "orders")
rescue TaskerCore::Error => e
  TaskerCore.logger.warn("order #{number} is not submitted: #{e.message}")
end

Thread.new do
  (1..).each do |number|
    order(number)
    sleep 1
  end
end
TaskerCore::Worker.run(concurrency: 5)

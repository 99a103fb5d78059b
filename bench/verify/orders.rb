# frozen_string_literal: true

# The worker that bench/verify_telemetry watches: runs the order workflow of examples/ and then tells what the store
# says of it. Told what to do by lines on its standard input; answers with lines of JSON.
#
#     ruby -Ilib bench/verify/orders.rb FOLDER ORDERS

require "json"
require "tasker_core"
require_relative "../../examples/order_fulfillment/handlers"

folder, orders = ARGV
ORDERS = Integer(orders)
# What becomes of these orders is said in `submit`.
FAILS = 13
HELD = 5
WAITS = 6
JOINED = 7
REMOTE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

# The example's, which is refused by the gateway at first, but for some orders only; with a span, a line and a count of
# the application's own.
class Charge < OrderFulfillment::ChargePayment
  def call(step)
    number = step.input["order_id"]
    TaskerCore.span("charge card", order_id: number) do
      TaskerCore.logger.info("charging", order_id: number)
      TaskerCore.counter("orders.charges").add(1)
      if number == HELD
        hold(step)
      elsif number.odd? || step.attempt > 1
        super
      else
        { receipt: "ch_#{number}", charged_cents: step.dependency(:price_order)["total_cents"] }
      end
    end
  end

  private

  def hold(step)
    sleep 0.01 until step.cancelled?
  end
end

def submit(number)
  options = { namespace: "orders" }
  options[:run_at] = Time.now + 3600 if number == WAITS # cancelled before it begins
  options[:traceparent] = REMOTE if number == JOINED
  cart = number == FAILS ? "cart-none" : "cart-7" # there is no such cart: fails for good
  TaskerCore.submit("order_fulfillment", { order_id: number, cart_id: cart, email: "ada@example.org" }, **options)
end

def charging?(task)
  task.transitions.any? { |transition| transition.step == "charge_payment" && transition.to_state == "in_progress" }
end

def account(task)
  transitions = task.transitions.map do |transition|
    [transition.step, transition.from_state, transition.to_state]
  end
  handlers = task.steps.to_h { |step| [step.name, step.handler] }
  { trace_id: task.trace_id, state: task.state, transitions: transitions, handlers: handlers }
end

TaskerCore.configure do |config|
  config.database = File.join(folder, "orders.sqlite3")
  config.template_paths = [File.expand_path("../../examples/order_fulfillment/template.yml", __dir__)]
  config.handlers = { "OrderFulfillment::ChargePayment" => Charge }
end
TaskerCore::Worker.start(concurrency: 5)
$stdout.sync = true
puts JSON.generate(web: TaskerCore.status.dig(:web, :address))

$stdin.gets
tasks = (1..ORDERS).map do |number|
  sleep 0.1 # over some scrapes
  submit(number)
end
sleep 0.01 until charging?(tasks[HELD - 1])
[tasks[HELD - 1], tasks[WAITS - 1]].each(&:cancel)
tasks.each { |task| task.wait(timeout: 60) }
sleep 0.2 # the held handler comes back
flushed = TaskerCore::Telemetry.flush
puts JSON.generate(flushed: flushed, remote: REMOTE, tasks: tasks.map { |task| account(task) })

$stdin.gets
TaskerCore.shutdown

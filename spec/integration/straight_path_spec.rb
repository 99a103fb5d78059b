# frozen_string_literal: true

# From a template to a finished task.
RSpec.describe "A workflow from end to end" do
  before do
    stub_const("Shop", Module.new)
    stub_const("Shop::FetchCart", Class.new(TaskerCore::StepHandler) do
      def call(step) = { items: step.input[:items] }
    end)
    stub_const("Shop::Price", Class.new(TaskerCore::StepHandler) do
      def call(step)
        { cents: step.dependency(:fetch_cart)[:items].sum { |item| item[:cents] } * step.config[:factor] }
      end
    end)
    stub_const("Shop::Check", Class.new(TaskerCore::StepHandler) do
      def call(step) = step.dependency(:fetch_cart)[:items].size
    end)
    stub_const("Shop::Charge", Class.new(TaskerCore::StepHandler) do
      def call(step) = "#{step.dependency(:check)} items, #{step.dependency(:price)[:cents]} cents"
    end)
  end

  let(:context) { { items: [{ sku: "TEA", cents: 640 }, { sku: "CUP", cents: 1250 }] } }
  let(:yaml) { <<~YAML }
    name: order
    namespace: shop
    steps:
      - { name: fetch_cart, handler: "Shop::FetchCart" }
      - { name: price, handler: "Shop::Price", dependencies: [fetch_cart], config: { factor: 2 } }
      - { name: check, handler: "Shop::Check", dependencies: [fetch_cart] }
      - { name: charge, handler: "Shop::Charge", dependencies: [price, check] }
  YAML

  def run_order
    TaskerCore::Worker.start(concurrency: 3)
    TaskerCore.submit("order", context, namespace: "shop").wait(timeout: 20)
  end

  def expect_done(task)
    expect(task).to be_complete
    expect(task.result).to eq(fetch_cart: context, price: { cents: 3780 }, check: 2, charge: "2 items, 3780 cents")
    expect(task.steps.map(&:name)).to eq(%w[fetch_cart price check charge])
    expect(task.steps).to all(have_attributes(state: "complete", attempts: 1))
  end

  it "runs from a template in Ruby" do
    configure
    TaskerCore.template("order", namespace: "shop") do
      step :fetch_cart, handler: Shop::FetchCart
      step :price, handler: Shop::Price, depends_on: :fetch_cart, config: { factor: 2 }
      step :check, handler: "Shop::Check", depends_on: [:fetch_cart]
      step :charge, handler: Shop::Charge, depends_on: %i[price check]
    end
    expect_done(run_order)
  end

  it "runs from a template in YAML, found where the configuration says, on a file" do
    in_folder do |folder|
      File.write("#{folder}/order.yml", yaml)
      configure(database: "#{folder}/tasker.sqlite3", template_paths: ["#{folder}/*.yml"])
      expect_done(run_order)
      TaskerCore.shutdown
    end
  end

  it "shows handlers the trace their step is in" do
    configure
    seen = nil
    name = one_step { |step| seen = [step.trace_id, step.span_id, step.traceparent, step.correlation_id] }
    task = run_task(name)
    expect(seen).to match([task.trace_id, /\A\h{16}\z/, /\A00-#{task.trace_id}-\h{16}-0\d\z/, task.correlation_id])
  end

  it "carries many tasks at once" do
    configure
    stub_const("Add", Class.new { def call(step) = step.input[:number] + 1 })
    TaskerCore.template("many") do
      step :one, handler: "Add"
      step :two, handler: "Add", depends_on: :one
    end
    TaskerCore::Worker.start(concurrency: 4)
    tasks = TaskerCore.submit_all(Array.new(300) { |number| { name: "many", context: { number: number } } })
    tasks.each_with_index do |task, number|
      expect(task.wait(timeout: 30).result).to eq(one: number + 1, two: number + 1)
    end
  end
end

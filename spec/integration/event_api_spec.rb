# frozen_string_literal: true

require "open3"

# Domain events from Ruby and back: what handlers publish, what is in the store, what blocks of the process are told.
RSpec.describe "Domain events in Ruby" do
  let(:told) { Queue.new }

  around do |example|
    in_folder do |folder|
      @database = "#{folder}/tasker.sqlite3"
      configure(database: @database)
      example.run
    ensure
      reset_engine
    end
  end

  # The messages in the store, oldest first.
  def stored
    said, status = Open3.capture2e("sqlite3", "-json", @database, "SELECT message FROM events ORDER BY id")
    raise said unless status.success?

    JSON.parse(said.empty? ? "[]" : said).map { |row| JSON.parse(row["message"], symbolize_names: true) }
  rescue Errno::ENOENT
    skip "needs the sqlite3 command"
  end

  def publishing(name = "shop", **options, &block)
    handler = Class.new(TaskerCore::StepHandler) do
      include TaskerCore::EventPublisher
      define_method(:call) { |step| instance_exec(step, &block) }
    end
    one_step(name, handler, retry: quick(5), **options)
  end

  it "of a handler are there when its step is complete, once, whatever attempts failed before" do
    ids = []
    task = run_task(publishing do |step|
      ids << publish_event("order.paid", { amount: 5 }, key: step.input[:order])
      raise "busy" if step.attempt < 5

      { receipt: 7 }
    end, { order: "a" })
    expect(task).to be_complete
    event, *others = stored
    expect(others).to eq([])
    expect(event).to include(event_id: ids.last, event_name: "order.paid", event_version: "1.0")
    expect(event[:payload])
      .to include(payload: { amount: 5 }, execution_result: { success: true, result: { receipt: 7 } })
    expect(event[:metadata]).to include(task_uuid: task.task_uuid, step_name: "only", namespace: "default",
                                        correlation_id: task.correlation_id)
  end

  it "that are immediate are there at once, and again after each attempt" do
    run_task(publishing do |step|
      publish_event("order.tried", { attempt: step.attempt }, immediate: true)
      publish_event("order.paid", {})
      raise "busy" if step.attempt < 3
    end)
    expect(stored.map { |event| [event[:event_name], event.dig(:payload, :payload, :attempt)] })
      .to eq([["order.tried", 1], ["order.tried", 2], ["order.tried", 3], ["order.paid", nil]])
    expect(stored.map { |event| event.dig(:metadata, :step_name) }.uniq).to eq(["only"])
  end

  it "from elsewhere are there at once, one or many" do
    id = TaskerCore.publish_event("order.placed", { order: 1 }, namespace: "shop")
    ids = TaskerCore.publish_events(Array.new(3) { |number| { name: "order.noted", payload: { number: number } } })
    expect(stored.map { |event| event[:event_id] }).to eq([id, *ids])
    expect(stored.first[:metadata]).to include(namespace: "shop", task_uuid: nil)
    expect([id, *ids]).to all(match(/\A\h{8}-\h{4}-7/))
  end

  it "are all refused when one of many is wrong" do
    many = [{ name: "order.noted", payload: {} }, { name: "Wrong", payload: {} }]
    expect { TaskerCore.publish_events(many) }.to raise_error(TaskerCore::InvalidInputError, /"Wrong"/)
    expect { TaskerCore.publish_events([{ name: "a.b", payload: {}, namespace: "No" }, many.first]) }
      .to raise_error(TaskerCore::InvalidInputError, /namespace/)
    expect { TaskerCore.publish_events({}) }.to raise_error(TaskerCore::InvalidInputError, /an Array of Hashes/)
    expect(TaskerCore.publish_events([])).to eq([])
    expect(stored).to eq([])
  end

  it "reach the blocks of the process that subscribed to them, after the commit, unless they are durable only" do
    TaskerCore.on("order.*") { |event| told << [event, TaskerCore.task(event.task_uuid).step(:only).state] }
    TaskerCore.on("other.#") { |event| told << event }
    task = run_task(publishing do |step|
      publish_event("order.durable")
      publish_event("order.fast", { n: 1 }, delivery_mode: :fast)
      publish_event("order.both", { n: step.attempt }, delivery_mode: :broadcast, key: "k")
    end)
    fast, state = told.pop
    both, = told.pop
    expect([fast.name, fast.payload, fast.task_uuid]).to eq(["order.fast", { n: 1 }, task.task_uuid])
    expect(state).to eq("complete")
    expect([both.name, both.payload, both.step_name]).to eq(["order.both", { n: 1 }, "only"])
    expect(stored.map { |event| event[:event_name] }).to eq(%w[order.durable order.both])
    expect(stored.last[:event_id]).to eq(both.event_id)
    expect([both.task_context, both.step_result, both.fired_at.class]).to eq([{}, both.event_id, Time])
  end

  it "are made by publisher classes, as the template says" do
    stub_const("Paid", Class.new(TaskerCore::BasePublisher) do
      def transform_payload(step_result, _declaration, step_context)
        { amount: step_result[:result][:amount], order: step_context.input[:order] }
      end
    end)
    paid = { name: "order.paid", publisher: Paid, schema: { required: ["amount"] } }
    declared = [paid, "order.done", { name: "order.refused", condition: :failure }]
    run_task(publishing("shop", publishes: declared) { { amount: 5 } }, { order: 1 })
    expect(stored.map { |event| [event[:event_name], event[:payload][:payload]] })
      .to eq([["order.paid", { amount: 5, order: 1 }], ["order.done", { amount: 5 }]])
  end

  it "fail the attempt when their publisher raises" do
    attempts = 0
    stub_const("Unlucky", Class.new(TaskerCore::BasePublisher) do
      define_method(:transform_payload) { |*| (attempts += 1) < 3 ? raise(IOError, "no rate") : {} }
    end)
    task = run_task(publishing("shop", publishes: [{ name: "order.paid", publisher: "Unlucky" }]) { 1 })
    expect([task.state, task.step(:only).attempts]).to eq(["complete", 3])
    expect(stored.size).to eq(1)
  end

  it "that blocks publish are written at once" do
    TaskerCore.on("order.seen") { told << TaskerCore.publish_event("order.followed") }
    TaskerCore.publish_event("order.seen", {}, delivery_mode: :fast)
    id = told.pop
    expect(stored.map { |event| event[:event_id] }).to eq([id])
  end

  it "are told in the child of a fork too" do
    said, errors, = ruby(<<~RUBY)
      TaskerCore.configure { |config| config.database = #{@database.inspect}; config.template_paths = [] }
      told = Queue.new
      TaskerCore.on("order.*") { |event| told << event.name }
      TaskerCore.publish_event("order.parents", {}, delivery_mode: :fast)
      puts told.pop
      pid = fork do
        TaskerCore.publish_event("order.childs", {}, delivery_mode: :fast)
        puts told.pop
        TaskerCore.shutdown
      end
      Process.wait(pid)
      TaskerCore.publish_event("order.again", {}, delivery_mode: :fast)
      puts told.pop
    RUBY
    expect([said, errors]).to eq(["order.parents\norder.childs\norder.again\n", ""])
  end

  it "are told to what subscribed to ActiveSupport's notifications" do
    missing = Gem::Specification.find_all_by_name("activesupport").empty?
    skip "needs ActiveSupport (on Debian: ruby-activesupport)" if missing
    said, errors, = ruby(<<~RUBY, prelude: "$VERBOSE = nil; require 'active_support'; require 'tasker_core'\n")
      require "active_support/notifications"
      told = Queue.new
      %w[order.declared order.published step.completed].each do |name|
        ActiveSupport::Notifications.subscribe("\#{name}.tasker_core") { |key, *, payload| told << [key, payload.keys.first] }
      end
      TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
      class Work
        include TaskerCore::EventPublisher
        def call(_step) = publish_event("order.published", {}, delivery_mode: :fast)
      end
      TaskerCore.template("shop") do
        step :only, handler: Work, publishes: [{ name: "order.declared", delivery_mode: :fast }]
      end
      TaskerCore::Worker.start(concurrency: 1)
      TaskerCore.submit("shop").wait(timeout: 20)
      puts Array.new(3) { told.pop.join(" ") }.sort
      TaskerCore.shutdown
    RUBY
    expect([said.lines(chomp: true), errors])
      .to eq([["order.declared.tasker_core event_id", "order.published.tasker_core event_id",
               "step.completed.tasker_core task_id"], ""])
  end

  it "wake the bus for what subscribed to ActiveSupport's notifications by their names only" do
    missing = Gem::Specification.find_all_by_name("activesupport").empty?
    skip "needs ActiveSupport (on Debian: ruby-activesupport)" if missing
    said, errors, = ruby(<<~RUBY, prelude: "$VERBOSE = nil; require 'active_support'; require 'tasker_core'\n")
      require "active_support/notifications"
      told = Queue.new
      %w[order.outside order.inside].each do |name|
        ActiveSupport::Notifications.subscribe("\#{name}.tasker_core") { |key, *| told << key }
      end
      TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
      TaskerCore.publish_event("order.outside")
      puts TaskerCore::Events.bus.running?
      TaskerCore.publish_event("order.outside", {}, delivery_mode: :fast)
      puts told.pop
      TaskerCore.shutdown
      TaskerCore::Events.notifications.instance_variable_set(:@domain, {})
      class Work
        include TaskerCore::EventPublisher
        def call(_step) = publish_event("order.inside", {}, delivery_mode: :broadcast)
      end
      TaskerCore.template("shop") { step :only, handler: Work }
      TaskerCore::Worker.start(concurrency: 1)
      TaskerCore.submit("shop").wait(timeout: 20)
      puts told.pop
      TaskerCore.shutdown
    RUBY
    expect([said.lines(chomp: true), errors])
      .to eq([["false", "order.outside.tasker_core", "order.inside.tasker_core"], ""])
  end

  it "may end the subscription, or the engine, in a block" do
    subscription = TaskerCore.on("order.*") do |event|
      subscription.unsubscribe
      told << event.name
    end
    2.times { TaskerCore.publish_event("order.seen", {}, delivery_mode: :fast) }
    expect(told.pop).to eq("order.seen")
    wait_until("the thread to end") { !TaskerCore::Events.bus.running? }
    expect(told).to be_empty
    TaskerCore.on("order.*") do
      TaskerCore.shutdown
      told << TaskerCore::Native.open?
    end
    TaskerCore.publish_event("order.last", {}, delivery_mode: :fast)
    expect(told.pop).to be(false)
  end

  it "are handed out before the engine closes" do
    names = []
    TaskerCore.on("#") { |event| names << event.name }
    100.times { TaskerCore.publish_event("order.seen", {}, delivery_mode: :fast) }
    TaskerCore.shutdown
    expect(names.size).to eq(100)
  end
end

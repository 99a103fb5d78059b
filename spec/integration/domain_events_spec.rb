# frozen_string_literal: true

# Domain events across the FFI layer: published with a completion and outside of steps, and what Ruby hears of them.
RSpec.describe "Domain events" do
  let(:native) { TaskerCore::Native }

  # A worker on a file, with one template of one step.
  # @yield [folder]
  def with_worker(step = {}, **template)
    in_folder do |folder|
      configure(database: "#{folder}/tasker.sqlite3", handlers: { "act" => ->(context) { @act.call(context) } })
      document = { name: "pay", steps: [{ name: "charge", handler: "act", retry: quick, **step }], **template }
      TaskerCore::Worker.start(concurrency: 1)
      native.register_template("spec", JSON.generate(document))
      yield "#{folder}/tasker.sqlite3"
    ensure
      TaskerCore.shutdown
    end
  end

  # What the handler's thread hands back besides the result.
  def completing(**fields)
    bridge = TaskerCore::Worker::EventBridge.instance
    allow(bridge).to receive(:publish_step_completion).and_wrap_original do |publish, payload|
      publish.call(payload.merge(fields))
    end
  end

  def stored(file)
    IO.popen(["sqlite3", "-json", file, "SELECT name, key, message FROM events ORDER BY id"], &:read)
      .then { |text| text.empty? ? [] : JSON.parse(text) }
      .map { |row| [row["name"], row["key"], JSON.parse(row["message"])] }
  end

  def error_of(task)
    task.steps.first.error
  end

  it "are written with the step that declares them, and say what it worked on" do
    @act = ->(_) { { amount: 5 } }
    declared = [{ name: "payment.processed", key: "{/input/order}" }]
    with_worker({ publishes_events: declared }, namespace: "shop") do |file|
      task = TaskerCore.submit("pay", { order: "o1" }, namespace: "shop").wait(timeout: 20)
      (name, key, message), *more = stored(file)
      expect([name, key, more]).to eq(["payment.processed", "o1", []])
      expect(message["payload"]).to eq(
        "task_sequence_step" => { "task_name" => "pay", "step_name" => "charge", "attempt" => 1,
                                  "context" => { "order" => "o1" } },
        "execution_result" => { "success" => true, "result" => { "amount" => 5 } }, "payload" => { "amount" => 5 }
      )
      expect(message["metadata"]).to include("task_uuid" => task.task_uuid, "correlation_id" => task.correlation_id,
                                             "namespace" => "shop", "step_name" => "charge")
    end
  end

  it "come with the completion when the handler published them" do
    @act = ->(_) { 1 }
    event_id = "0199c3e0-ccdb-7581-87ab-3f67daeaa4a5"
    completing(events: JSON.generate([{ event_id: event_id, name: "order.paid", payload: { n: 1 }, key: "k" }]),
               payloads: JSON.generate("payment.made" => { made: true }))
    stub_const("Maker", Class.new(TaskerCore::BasePublisher))
    with_worker({ publishes_events: [{ name: "payment.made", publisher: "Maker" }] }) do |file|
      expect(run_task("pay")).to be_complete
      told = stored(file).map { |name, key, message| [name, key, message["event_id"], message["payload"]["payload"]] }
      expect(told.first).to eq(["order.paid", "k", event_id, { "n" => 1 }])
      expect(told.last.values_at(0, 3)).to eq(["payment.made", { "made" => true }])
    end
  end

  it "tell the handler's thread which classes make payloads" do
    seen = Queue.new
    @act = ->(_) { 1 }
    bridge = TaskerCore::Worker::EventBridge.instance
    allow(bridge).to receive(:wrap_step_execution_event).and_wrap_original do |wrap, event|
      seen << event[:publishers]
      wrap.call(event)
    end
    stub_const("Pay::Maker", Class.new(TaskerCore::BasePublisher))
    declared = [{ name: "a.b", publisher: "Pay::Maker", condition: "always" }, { name: "a.c" }]
    with_worker({ publishes_events: declared }) do
      run_task("pay")
      expect(seen.pop).to eq([["a.b", "Pay::Maker", "always"]])
    end
  end

  it "fail the attempt for good when they are not allowed or do not fit" do
    @act = ->(_) { { id: 1 } }
    with_worker({ publishes_events: [{ name: "payment.processed", schema: { required: ["amount"] } }] }) do |file|
      task = run_task("pay")
      expect(task.state).to eq("error")
      expect(error_of(task)).to include(class: "TaskerCore::ValidationError", attempt: 1,
                                        message: "event payment.processed: /amount is missing")
      expect(stored(file)).to eq([])
    end
  end

  it "fail the attempt with a clear error when what came with the completion cannot be read" do
    @act = ->(_) { 1 }
    slow = { event_id: "0199c3e0-ccdb-7581-87ab-3f67daeaa4a5", name: "a.b", delivery_mode: "slow" }
    ["[", '[{"name":"a.b"}]', JSON.generate([slow]), "\xFF"].each do |events|
      completing(events: events)
      with_worker do |file|
        task = run_task("pay")
        expect(error_of(task)[:message]).to include("the step's completion cannot be read: events: ")
        expect(stored(file)).to eq([])
      end
    end
  end

  it "are durable when publish_events returns, all of them or none" do
    with_worker do |file|
      ids = native.publish_events(JSON.generate([{ name: "order.placed", payload: [1, "it's"], namespace: "fresh" },
                                                 { name: "order.fast", delivery_mode: "fast" }]))
      expect(stored(file).map { |name, _, message| [name, message["event_id"]] }).to eq([["order.placed", ids.first]])
      expect(ids).to all(match(/\A\h{8}-\h{4}-7/))
      refused = [[{ name: "order.second" }, { name: "Order" }], [{ name: "a.b", nothing: 1 }],
                 [{ name: "a.b", payload: "x" * 300_000 }]]
      refused.each do |events|
        expect { native.publish_events(JSON.generate(events)) }.to raise_error(TaskerCore::InvalidInputError)
      end
      expect(stored(file).size).to eq(1)
    end
  end

  it "are heard in the process, with what becomes of tasks and steps, as far as Ruby wants to" do
    @act = ->(_) { 1 }
    with_worker({ publishes_events: [{ name: "step.quick", delivery_mode: "fast" }] }) do
      expect(native.poll_bus(0)).to be_nil
      native.listen_bus(true, true)
      task = run_task("pay")
      items = Enumerator.produce { native.poll_bus(2_000) }
      heard = items.take_while { |kind, text| kind && !text.include?('"workflow.task_completed"') }
      heard.map! { |kind, text| [kind, JSON.parse(text)] }
      expect(heard.map(&:first).uniq).to match_array(%w[domain lifecycle])
      expect(heard.assoc("domain").last).to include("event_name" => "step.quick")
      names = heard.filter_map { |_, item| item["event"] if item["task_uuid"] == task.task_uuid }
      expect(names).to include("task.initialize_requested", "step.before_handle", "step.completed", "task.completed")
      native.listen_bus(false, false)
      native.publish_events(JSON.generate([{ name: "order.fast", delivery_mode: "fast" }]))
      expect(native.poll_bus(0)).to be_nil
    end
  end

  it "let a thread that waits for them be interrupted" do
    with_worker do
      native.listen_bus(true, false)
      waiter = Thread.new { native.poll_bus(60_000) }
      wait_until("the thread to wait") { waiter.status == "sleep" }
      native.publish_events(JSON.generate([{ name: "order.fast", delivery_mode: "fast" }]))
      expect(waiter.value.first).to eq("domain")
      waiter = Thread.new { native.poll_bus(60_000) }
      wait_until("the thread to wait") { waiter.status == "sleep" }
      waiter.kill
      expect(waiter.join(20)).to be(waiter)
    end
  end
end

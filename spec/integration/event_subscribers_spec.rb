# frozen_string_literal: true

# Durable subscribers, on either store; `database` is where.
RSpec.shared_examples "subscribers" do
  include EventStory

  before { configure(database: database, shutdown_timeout: 5) }
  after { TaskerCore::EventSubscriber.reset }

  it "handle what was published before they ran, in its order, with all it says" do
    TaskerCore::Worker.start(concurrency: 1)
    publish({ n: 1 }, { n: 2 })
    TaskerCore::Worker.stop
    subscriber("order.*", ordered: true) { |event| got << event }
    TaskerCore::Worker.start(concurrency: 1)
    first, second = next_got(2)
    expect([first.payload[:n], second.payload["n"]]).to eq([1, 2])
    expect(first).to have_attributes(event_name: "order.placed", attempt: 1, key: "a",
                                     event_id: /\A\h{8}-\h{4}-7/, task_context: { payload: { n: 1 }, shop: "a" })
    expect(first[:metadata]).to include(namespace: "default", step_name: "place", correlation_id: first.correlation_id)
    expect(first.fired_at).to be_within(60).of(Time.now)
    wait_until("both are settled") { group.pending.zero? }
    expect(group).to have_attributes(name: "billing", patterns: ["order.*"], ordered: true, dead: 0, retrying: 0,
                                     holder: /-#{Process.pid}-/)
    expect(group.lease_seconds).to be_between(0, 10)
  end

  it "try again what failed, and keep as a dead letter what fails at last" do
    subscriber("order.*", retry: { max_attempts: 2, base: 0 }) do |event|
      got << [event.payload, event.attempt]
      raise ArgumentError, "no such shop" if event.payload == "bad"
    end
    TaskerCore::Worker.start(concurrency: 1)
    publish("bad", "good")
    expect(next_got(3)).to contain_exactly(["bad", 1], ["bad", 2], ["good", 1])
    wait_until("it is a dead letter") { group.dead == 1 }
    letter = TaskerCore.event_groups.dead("billing").first
    expect(letter).to have_attributes(event_name: "order.placed", attempts: 2, error_class: "ArgumentError",
                                      error_message: "no such shop")
    expect(TaskerCore.event_groups.requeue("billing", [letter])).to eq(1)
    expect(next_got(2)).to eq([["bad", 1], ["bad", 2]])
    wait_until("it is a dead letter again") { group.dead == 1 }
    expect(TaskerCore.event_groups.drop("billing")).to eq(1)
    expect(group).to have_attributes(dead: 0, pending: 0)
    expect { TaskerCore.event_groups.dead("other") }.to raise_error(TaskerCore::NotFoundError, /other/)
    expect { TaskerCore.event_groups.remove("billing") }.to raise_error(TaskerCore::IllegalTransitionError, /in use/)
  end

  it "give up at once what no attempt would help, and wait as long as a handler says" do
    subscriber("order.*") do |event|
      got << [event.payload, event.attempt]
      raise TaskerCore::PermanentError, "never" if event.payload == "never"
      raise TaskerCore::RetryableError.new("soon", retry_after: 0) if event.attempt == 1
    end
    TaskerCore::Worker.start(concurrency: 1)
    publish("never", "soon")
    expect(next_got(3)).to contain_exactly(["never", 1], ["soon", 1], ["soon", 2])
    wait_until("one is a dead letter") { group.dead == 1 }
  end

  it "keep the order of a key while one of it waits for its retry" do
    subscriber("order.*", ordered: true, concurrency: 3, retry: { base: 0.3, jitter: 0 }) do |event|
      got << [event.key, event.payload, event.attempt]
      raise "busy" if event.payload == 1 && event.attempt < 3
    end
    TaskerCore::Worker.start(concurrency: 1)
    publish(1, 2, 3, shop: "a")
    publish(4, 5, shop: "b")
    all = next_got(7)
    expect(all.select { |key,| key == "a" }.map { |_, *rest| rest }).to eq([[1, 1], [1, 2], [1, 3], [2, 1], [3, 1]])
    expect(all.select { |key,| key == "b" }.map { |_, payload,| payload }).to eq([4, 5])
  end

  it "delay nobody else when one of them hangs, and stop in time" do
    gate = Queue.new
    subscriber("order.*", group: "hangs") { gate.pop }
    subscriber("order.*", group: "works", concurrency: 2) do |event|
      event.payload == 1 ? gate.pop : got << event.payload
    end
    TaskerCore::Worker.start(concurrency: 1, shutdown_timeout: 0.3)
    publish(1, 2, 3)
    expect(next_got(2)).to eq([2, 3])
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    expect(TaskerCore::Worker.stop).to be(false)
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - began).to be < 5
    expect(TaskerCore.event_groups.map(&:holder)).to eq([nil, nil])
    expect(Thread.list.map(&:name).compact.grep(/\Atasker-events-/)).to eq([])
    expect(group("works").retrying).to eq(1)
  end

  it "survive a handler that ends its thread, or jumps out" do
    subscriber("order.*", retry: { max_attempts: 1 }) do |event|
      Thread.exit if event.payload == "exit"
      throw :nowhere if event.payload == "throw"
      got << event.payload
    end
    TaskerCore::Worker.start(concurrency: 1)
    publish("exit", "throw", "fine")
    expect(next_got(1)).to eq(["fine"])
    wait_until("both are dead letters") { group.dead == 2 }
    expect(TaskerCore.event_groups.dead("billing").map(&:error_class))
      .to eq(%w[TaskerCore::HandlerKilledError UncaughtThrowError])
  end

  it "leave events to others that only a newer version of the class wants" do
    subscriber("order.*") { |event| got << event.payload }
    TaskerCore::Worker.start(concurrency: 1)
    publish(1)
    expect(next_got(1)).to eq([1])
    # What was handled and not settled under the old patterns would come again.
    wait_until("it is settled") { group.pending.zero? }
    TaskerCore::Native.event_group_open(JSON.generate(name: "billing", patterns: ["#"]))
    document = EventStory::TEMPLATE.gsub("order.placed", "payment.made").sub("place_order", "pay")
    TaskerCore.engine.add_template("pay", document, "yaml")
    TaskerCore.submit("pay", { payload: 2, shop: "a" }).wait(timeout: 30)
    wait_until("it is put off") { group.retrying == 1 }
    expect(got).to be_empty
  end

  it "run in spans of their own, linked to the publisher's" do
    subscriber("order.*") { |event| got << [TaskerCore.traceparent, event] }
    spans = TaskerCore::Telemetry.capture do
      TaskerCore::Worker.start(concurrency: 1)
      publish(1)
      @traceparent, @event = next_got(1).first
      TaskerCore::Worker.stop
      TaskerCore::Telemetry.spans
    end
    span = spans.find { |found| found[:name] == "process order.placed" }
    expect(span).to include(parent_span_id: nil, trace_id: @traceparent[3, 32])
    expect(span[:attributes]).to include(group: "billing", attempt: 1, event_id: @event.event_id, namespace: "default",
                                         event_name: "order.placed", correlation_id: @event.correlation_id)
    expect(span[:links]).to eq([{ trace_id: @event.traceparent[3, 32], span_id: @event.traceparent[36, 16] }])
  end

  it "may be started with a worker, beside it, or not at all" do
    subscriber("order.*") { |event| got << event.payload }
    TaskerCore::Worker.start(concurrency: 1, subscribers: false)
    expect(TaskerCore::EventSubscriber).not_to be_running
    publish(1)
    expect(TaskerCore::EventSubscriber.start).to be(true)
    expect(next_got(1)).to eq([1])
    expect(TaskerCore::EventSubscriber.stop).to be(true)
    expect(TaskerCore::EventSubscriber.stop).to be(true)
    publish(2)
    TaskerCore::EventSubscriber.start
    expect(next_got(1)).to eq([2])
  end
end

RSpec.describe TaskerCore::EventSubscriber do
  describe "on SQLite" do
    around { |example| in_folder { |folder| (@folder = folder) && example.run } }

    it_behaves_like "subscribers" do
      let(:database) { "#{@folder}/tasker.sqlite3" }
    end
  end

  describe "in memory" do
    it_behaves_like "subscribers" do
      let(:database) { ":memory:" }
    end
  end

  describe "on PostgreSQL" do
    around { |example| with_database { |database| (@database = database) && example.run } }

    it_behaves_like "subscribers" do
      let(:database) { @database.url }
    end
  end
end

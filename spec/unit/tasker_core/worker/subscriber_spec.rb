# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::Subscriber do
  let(:bridge) { EventSupport::RecordingBridge.new }

  def handle(event = step_event, limit: 1000, &handler)
    registry = TaskerCore::HandlerRegistry.new("charge" => handler)
    subscriber = described_class.new(registry: registry, max_result_bytes: limit, bridge: bridge)
    subscriber.call(TaskerCore::Worker::EventBridge.instance.wrap_step_execution_event(event))
  end

  def completion
    expect(bridge.published.size).to eq(1)
    bridge.published.first
  end

  it "publishes the result as JSON, with the event's ids" do
    event = step_event
    handle(event) { |step| { order: step.input[:order_id] } }
    expect(completion).to include(success: true, result: '{"order":1}', error: nil,
                                  **event.slice(:event_id, :task_uuid, :step_uuid, :trace_id, :span_id))
  end

  it "publishes what was set as the step's results, in place of what the handler returned" do
    [{ total: 5 }, nil, false].each do |results|
      bridge.published.clear
      handle do |step|
        step.results = results
        :returned
      end
      expect(completion).to include(success: true, result: JSON.generate(results))
    end
  end

  it "publishes no results of a handler that raised" do
    handle do |step|
      step.results = { total: 5 }
      raise "no"
    end
    expect(completion).to include(success: false, result: nil)
  end

  it "carries what the handler published, unless the attempt failed" do
    publisher = Class.new { include TaskerCore::EventPublisher }.new
    ids = []
    publish = -> { ids << publisher.send(:publish_event, "order.paid", { amount: 5 }) }
    handle { 2.times { publish.call } }
    events = JSON.parse(completion[:events], symbolize_names: true)
    expect(events.map { |event| event.values_at(:event_id, :name, :payload) })
      .to eq(ids.map { |id| [id, "order.paid", { amount: 5 }] })
    bridge.published.clear
    handle { publish.call && raise("no") }
    expect(completion).not_to have_key(:events)
    bridge.published.clear
    handle { nil }
    expect(completion.keys).not_to include(:events, :payloads)
  end

  it "tells the step when its attempt began" do
    began = nil
    handle { |step| began = step.started_at }
    expect(completion[:metadata][:started_at_us]).to eq((began.to_r * 1_000_000).to_i)
  end

  it "measures the handler alone" do
    before = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
    handle { nil }
    expect(completion[:metadata][:started_at_us]).to be_between(before, before + 5_000_000)
    expect(completion[:metadata][:execution_time_ms]).to be_between(0, 1000)
  end

  it "passes on whatever strings the trace ids are, and goes without" do
    handle(step_event(trace_id: "any thing", span_id: nil)) { nil }
    expect(completion).to include(trace_id: "any thing")
    expect(completion).not_to have_key(:span_id)
  end

  it "publishes exactly one failure, whatever the handler does" do
    {
      -> { raise "boom" } => ["RuntimeError", /boom/, true],
      -> { raise TaskerCore::PermanentError, "no" } => ["TaskerCore::PermanentError", /no/, false],
      -> { raise NoMemoryError } => ["NoMemoryError", /NoMemory/, true],
      -> { raise SecurityError, "x" } => ["SecurityError", /x/, true],
      -> { raise NotImplementedError } => ["NotImplementedError", /NotImpl/, true],
      -> { exit(1) } => ["SystemExit", /called exit/, true],
      -> { throw :done } => ["UncaughtThrowError", /threw/, true],
      -> { { total: Float::NAN } } => ["TaskerCore::UnserializableResultError", /result\[:total\] is NaN/, false],
      -> { Object.new } => ["TaskerCore::UnserializableResultError", /instance of Object/, false],
      -> { "\xFF" } => ["TaskerCore::UnserializableResultError", /UTF-8/, false],
      -> { "x" * 2000 } => ["TaskerCore::ResultTooLargeError", /2002 bytes.*the limit is 1000/, false],
      -> { def self.deep = deep; deep } => ["SystemStackError", /stack level/, true] # rubocop:disable Style/Semicolon
    }.each do |handler, (error_class, message, retryable)|
      bridge.published.clear
      handle { handler.call }
      expect(completion).to include(success: false, result: nil)
      expect(completion[:error]).to include(class: error_class, message: message, retryable: retryable)
    end
  end

  it "publishes a failure when the handler's thread is killed under it" do
    [-> { Thread.exit }, -> { Thread.current.kill }].each do |handler|
      bridge.published.clear
      Thread.new { handle { handler.call } }.join
      expect(completion[:error]).to include(class: "TaskerCore::HandlerKilledError", retryable: true)
    end
  end

  it "lets Timeout and Thread#raise into the handler, and nowhere else" do
    started = Queue.new
    thread = Thread.new do
      Thread.handle_interrupt(TaskerCore::Worker::EventPoller::WHILE_WAITING) do
        handle do
          started << true
          Queue.new.pop
        end
      end
    end
    started.pop
    thread.raise(IOError, "cut off")
    thread.join
    expect(completion[:error]).to include(class: "IOError", message: "cut off")
  end

  it "fails the step when there is no such handler" do
    handle(step_event(handler: "Nowhere")) { nil }
    expect(completion[:error]).to include(class: "TaskerCore::HandlerNotFoundError", message: /Nowhere/)
  end

  it "goes on when the engine refuses the completion" do
    allow(bridge).to receive(:publish_step_completion).and_raise(TaskerCore::StoppedError, "closed")
    expect { handle { 1 } }.not_to raise_error
  end

  it "publishes a failure when its thread is killed while the exception describes itself" do
    asked = Queue.new
    error = Class.new(StandardError) do
      define_method(:message) do
        asked << true
        Queue.new.pop
      end
    end
    [:kill, [:raise, IOError, "enough"]].each do |interruption|
      bridge.published.clear
      thread = Thread.new { handle { raise error } }
      thread.report_on_exception = false
      asked.pop
      wait_until("it to wait") { thread.stop? }
      thread.public_send(*interruption)
      wait_until("the end") { !thread.alive? }
      expect(completion).to include(success: false, error: include(class: String, message: String, retryable: true))
    end
  end

  it "fails the attempt when its completion cannot be published" do
    allow(bridge).to receive(:publish_step_completion).and_raise(NoMemoryError, "too much")
    event = step_event
    handle(event) { 1 }
    expect(bridge.failed).to eq([[event[:event_id], "NoMemoryError", "the step's completion failed: too much"]])
  end

  it "publishes a completion as the reference documents call for it" do
    event = step_event
    subscriber = described_class.new(registry: TaskerCore::HandlerRegistry.new, bridge: bridge)
    subscriber.publish_step_completion(event_data: event, success: false, error_message: "no")
    expect(completion).to include(success: false, error: { message: "no" }, trace_id: event[:trace_id])
  end
end

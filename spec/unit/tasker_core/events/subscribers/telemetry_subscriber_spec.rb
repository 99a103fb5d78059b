# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Subscribers::TelemetrySubscriber do
  let(:publisher) { TaskerCore::Events::Publisher.instance }
  let(:context) { TaskerCore::Telemetry::Context.new("00-#{'a' * 32}-#{'b' * 16}-01", correlation_id: "c") }

  def event(name, source: :engine, period: nil, **payload)
    TaskerCore::Events::Event.new(name, payload, source: source, context: context, period: period)
  end

  # The spans that the subscriber makes of the events.
  def spans(*events)
    subscriber = described_class.subscribe
    TaskerCore::Telemetry.capture { events.each { |each| publisher.hand_out(each) } }
  ensure
    subscriber.unsubscribe
  end

  let(:attempt) do
    { task_id: "t", step_id: "s", step_name: "charge", attempt_number: 1, retry_limit: 3,
      timestamp: "2025-06-01T12:00:03Z" }
  end

  it "does nothing until it is subscribed, and can be looked at" do
    subscriber = described_class.new
    expect(subscriber.inspect).to end_with("TelemetrySubscriber not subscribed events=0 spans=0>")
    expect(subscriber.unsubscribe).to be(false)
    subscriber.subscribe.subscribe
    publisher.hand_out(event("a.b", source: :application, timestamp: "2025-06-01T12:00:00Z"))
    publisher.hand_out(event("step.handle"))
    expect(subscriber.inspect).to end_with(" subscribed events=2 spans=1>")
    subscriber.unsubscribe
    expect(publisher.inspect).to include("subscriptions=0")
  end

  it "makes a span of an attempt, in its task's trace" do
    period = %w[2025-06-01T12:00:00Z 2025-06-01T12:00:02.34Z]
    span, *others = spans(event("step.completed", **attempt, period: period))
    expect(others).to eq([])
    expect(span).to include(name: "tasker.step.processing", trace_id: "a" * 32, parent_span_id: "b" * 16, error: nil)
    expect(span[:attributes]).to eq(task_id: "t", step_id: "s", step: "charge", attempt_number: 1, retry_limit: 3,
                                    execution_duration: 2.34, correlation_id: "c")
    expect(span[:end_us] - span[:start_us]).to eq(2_340_000)
    expect(span[:events].map { |each| each[:name] }).to eq(%w[step.started step.completed])
  end

  it "marks a failed one" do
    span, = spans(event("step.failed", **attempt, error_class: "IOError", error_message: "password=x",
                                                  backtrace: ["a:1"]))
    expect(span).to include(name: "tasker.step.processing", error: "IOError: password=[FILTERED]")
    expect(span[:attributes].keys).not_to include(:backtrace)
    expect(span[:events].map { |each| each[:name] }).to eq(%w[step.started step.failed exception])
    expect(span[:events].last[:attributes])
      .to eq("exception.type": "IOError", "exception.message": "password=[FILTERED]", "exception.stacktrace": "a:1")
  end

  it "makes spans of a task's life and of its end" do
    life, ended, *others = spans(
      event("task.completed", task_id: "t", task_name: "order", total_steps: 5,
                              period: %w[2025-06-01T12:00:00Z 2025-06-01T12:00:05Z],
                              completed_at: "2025-06-01T12:00:05Z", completed_steps: 5, failed_steps: 0)
    )
    expect(others).to eq([])
    expect([life[:name], life[:end_us] - life[:start_us]]).to eq(["tasker.task.started", 5_000_000])
    expect(ended).to include(name: "tasker.task.completed", start_us: life[:end_us], end_us: life[:end_us])
    expect(ended[:attributes]).to include(task_id: "t", total_steps: 5, completion_time: "2025-06-01T12:00:05Z")
  end

  it "makes a span of what a handler published, where it published it" do
    seen = described_class.subscribe
    outer = nil
    spans = TaskerCore::Telemetry.capture do
      TaskerCore.span("charge card") do |span|
        outer = span
        publisher.publish("step.execution_requested", { task_id: "t", event_type: "started", rows: 3 })
      end
      publisher.flush
    end
    made = spans.find { |span| span[:name] == "tasker.step.execution_requested" }
    expect(made).to include(trace_id: outer.trace_id, parent_span_id: outer.span_id)
    expect(made[:attributes]).to eq(task_id: "t", event_type: "started", rows: 3)
    expect(made[:start_us]).to eq(made[:end_us])
  ensure
    seen.unsubscribe
  end
end

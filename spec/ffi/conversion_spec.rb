# frozen_string_literal: true

# What crosses the boundary comes out on the other side as it went in.
RSpec.describe "The boundary: conversion" do
  let(:native) { TaskerCore::Native }

  # A worker without handler threads: the spec polls.
  before do
    configure(handlers: { "one" => ->(_) {} })
    TaskerCore.template("two_steps", namespace: "orders") do
      step :cart, handler: "one", config: { rate: 0.19 }, timeout: 60
      step :charge, handler: "one", depends_on: :cart, retry: { max_attempts: 7 }
    end
    TaskerCore.template("once", namespace: "orders") { step :only, handler: "one", retry: { max_attempts: 1 } }
    TaskerCore.engine.open
    native.bootstrap_worker(TaskerCore.configuration.to_engine_json(concurrency: 4), "{}")
  end

  def poll
    native.poll_step_event(10.0)
  end

  def complete(event, **changes)
    ids = event.slice(:event_id, :task_uuid, :step_uuid, :trace_id, :span_id)
    native.complete_step_event({ **ids, success: true, result: "{}", **changes })
  end

  it "carries a step event" do
    parent = "0190c0de-0000-7000-8000-000000000002"
    context = { text: "ü \u0000 \u{1F600}" }
    task = TaskerCore.submit("two_steps", context, namespace: "orders", parent_correlation_id: parent)
    event = poll
    expect(event).to include(task_uuid: task.task_uuid, correlation_id: task.correlation_id,
                             parent_correlation_id: parent, trace_id: task.trace_id, span_id: /\A\h{16}\z/,
                             traceparent: /\A00-#{task.trace_id}-\h{16}-\h\h\z/)
    step = event[:task_sequence_step]
    expect(step).to include(namespace: "orders", task_name: "two_steps", step_name: "cart", handler: "one",
                            attempt: 1, max_attempts: 3, timeout_seconds: 60.0)
    expect(JSON.parse(step[:context])).to eq("text" => "ü \u0000 \u{1F600}")
    expect(JSON.parse(step[:config])).to eq("rate" => 0.19)
    strings = event.values.grep(String) + step.values.grep(String)
    expect(strings).to all(have_attributes(encoding: Encoding::UTF_8, valid_encoding?: true))
  end

  it "leaves out what an event does not have" do
    TaskerCore.submit("two_steps", {}, namespace: "orders")
    first = poll
    expect(first).not_to have_key(:parent_correlation_id)
    expect(first[:task_sequence_step]).not_to have_key(:dependency_results)
    complete(first, result: '{"total":12}')
    second = poll[:task_sequence_step]
    expect(second).not_to have_key(:timeout_seconds)
    expect(second).to include(step_name: "charge", max_attempts: 7, dependency_results: { "cart" => '{"total":12}' })
  end

  it "carries a failure back" do
    task = TaskerCore.submit("two_steps", {}, namespace: "orders")
    error = { class: "CardError", message: "declined \u0000 ü", code: "E1", field: "card", backtrace: %w[a:1 b:2],
              retryable: false }
    complete(poll, success: false, result: nil, error: { **error, retry_after: 1.5 })
    task.wait(timeout: 10)
    expect(task.step(:cart).error).to include(**error, attempt: 1)
  end

  it "takes a completion without trace ids, metadata or error" do
    task = TaskerCore.submit("two_steps", {}, namespace: "orders")
    event = poll
    native.complete_step_event(event.slice(:event_id, :task_uuid, :step_uuid).merge(success: true))
    expect(poll[:task_sequence_step][:dependency_results]).to eq("cart" => "null")
    expect(task.step(:cart).result).to be_nil
  end

  it "refuses completions that are none" do
    {
      {} => [TaskerCore::InvalidInputError, /event_id is missing/],
      { event_id: "seven" } => [TaskerCore::InvalidInputError, /"seven" is not a UUID/],
      { event_id: 7 } => [TypeError, /Integer/],
      { event_id: "\xFF" } => [TaskerCore::InvalidInputError, /UTF-8/]
    }.each { |payload, refusal| expect { native.complete_step_event(payload) }.to raise_error(*refusal) }
    expect { native.complete_step_event(nil) }.to raise_error(TypeError)
  end

  it "fails the attempt of a completion that cannot be read" do
    {
      { metadata: { started_at_us: "now" } } => /String/,
      { metadata: 7 } => /Integer/,
      { task_uuid: nil } => /task_uuid is missing/,
      { step_uuid: "seven" } => /not a UUID/,
      { trace_id: 7 } => /Integer/,
      { span_id: "\xFF" } => /UTF-8/i,
      { success: false, error: "no Hash" } => /String/,
      { success: false, error: { backtrace: [1, Object.new] } } => /Integer/,
      { success: false, error: { message: "\xFF" } } => /UTF-8/i,
      { success: false, error: { retry_after: "soon" } } => /string/
    }.each do |broken, reason|
      task = TaskerCore.submit("once", {}, namespace: "orders")
      complete(poll, **broken)
      expect(task.wait(timeout: 10).error).to include(class: "TaskerCore::InvalidInputError", message: reason)
    end
  end

  it "fails for good the attempt of a result that is no JSON" do
    results = { "{" => /EOF/, "" => /EOF/, "\xFF" => /UTF-8/, "1\u00002" => /trailing/, 7 => /no String/ }
    results.each do |result, reason|
      task = TaskerCore.submit("two_steps", {}, namespace: "orders")
      complete(poll, result: result)
      expect(task.wait(timeout: 10).error)
        .to include(class: "TaskerCore::UnserializableResultError", message: reason, retryable: false, attempt: 1)
    end
  end

  it "fails an event that nobody answered, once" do
    task = TaskerCore.submit("once", {}, namespace: "orders")
    event_id = poll[:event_id]
    expect(native.fail_step_event(event_id, "Lost", "gone")).to be(true)
    expect(native.fail_step_event(event_id, "Lost", "again")).to be(false)
    expect(task.wait(timeout: 10).error).to include(class: "Lost", message: "gone", retryable: true)
  end

  it "carries large results" do
    task = TaskerCore.submit("two_steps", {}, namespace: "orders")
    text = JSON.generate("x" * 1_000_000)
    complete(poll, result: text)
    expect(poll[:task_sequence_step][:dependency_results]["cart"]).to eq(text)
    expect(task.step(:cart).result.size).to eq(1_000_000)
  end

  it "refuses documents and times that are none" do
    expect { native.submit("{") }.to raise_error(TaskerCore::InvalidInputError, /submit/)
    expect { native.open('{"databse":""}') }.to raise_error(TaskerCore::ConfigurationError, /databse/)
    expect { native.poll_step_event(-1.0) }.to raise_error(TaskerCore::InvalidInputError, /number of seconds/)
    expect { native.wait("0190c0de-0000-7000-8000-000000000001", Float::NAN) }
      .to raise_error(TaskerCore::InvalidInputError, /number of seconds/)
  end

  it "knows which attempts nobody waits for" do
    task = TaskerCore.submit("two_steps", {}, namespace: "orders")
    event = poll
    expect(native.step_cancelled?(event[:event_id])).to be(false)
    task.cancel
    expect(native.step_cancelled?(event[:event_id])).to be(true)
  end
end

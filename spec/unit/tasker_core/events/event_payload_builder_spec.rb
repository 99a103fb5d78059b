# frozen_string_literal: true

RSpec.describe TaskerCore::Events::EventPayloadBuilder do
  utc = /\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\z/

  let(:step) { step_context(attempt: 2).tap { |step| step.began(1_700_000_000_000_000) } }

  it "makes the payload of a step that runs" do
    payload = described_class.build_step_payload(step, event_type: :started, additional_context: { "rows" => 3 })
    expect(payload).to match(
      task_id: step.task_uuid, step_id: step.step_uuid, step_name: "charge", started_at: "2023-11-14T22:13:20.000000Z",
      completed_at: nil, execution_duration: nil, attempt_number: 2, retry_limit: 3, event_type: "started",
      timestamp: utc, rows: 3
    )
    expect(payload.keys.first(10)).to eq(described_class::STEP_KEYS)
  end

  it "knows how long an attempt took that has ended" do
    payload = described_class.build_step_payload(step, event_type: "completed")
    expect(payload[:completed_at]).to match(utc)
    ended = Time.iso8601(payload[:completed_at])
    expect(payload[:execution_duration]).to be_a(Float).and be_within(0.001).of(ended - Time.at(1_700_000_000))
  end

  it "makes the payload of an error, bounded, with its context first" do
    error = begin
      raise IOError, "gateway"
    rescue IOError => e
      e
    end
    payload = described_class.build_error_payload(step, error, additional_context: { error_class: "Mine" })
    expect(payload).to match(
      task_id: step.task_uuid, step_id: step.step_uuid, step_name: "charge", error_message: "gateway",
      error_class: "Mine", backtrace: include(/event_payload_builder_spec/), attempt_number: 2, retry_limit: 3,
      event_type: "failed", timestamp: utc
    )
    expect(payload.keys).to eq(described_class::ERROR_KEYS)
    expect(described_class.build_error_payload(step, IOError.new("x" * 100_000))[:error_message].size).to be < 11_000
    expect(described_class.build_error_payload(step)).to include(error_message: nil, error_class: nil, backtrace: nil)
  end

  it "makes the payloads of a task and its steps, from the database" do
    configure
    handlers = { "one" => ->(_step) { 1 }, "two" => ->(_step) { raise TaskerCore::PermanentError, "no" } }
    TaskerCore.configuration.handlers = handlers
    TaskerCore.template("order") do
      step :one, handler: "one"
      step :two, handler: "two"
      step :three, handler: "one", depends_on: :two
    end
    task = run_task("order")
    payload = described_class.build_task_payload(task, event_type: :failed)
    expect(payload).to match(
      task_id: task.task_uuid, task_name: "order", started_at: utc, completed_at: utc, total_steps: 3,
      completed_steps: 1, failed_steps: 1, event_type: "failed", timestamp: utc
    )
    expect(payload.keys).to eq(described_class::TASK_KEYS)
    moments = payload.values_at(:started_at, :completed_at, :timestamp)
    expect(moments).to eq(moments.sort)
    expect(Time.iso8601(payload[:completed_at])).to eq(task.completed_at)

    failed = task.step(:two)
    expect(described_class.build_error_payload(failed))
      .to include(task_id: task.task_uuid, step_id: failed.step_uuid, step_name: "two", error_message: "no",
                  error_class: "TaskerCore::PermanentError", attempt_number: 1, retry_limit: 3)
    expect(described_class.build_step_payload(task.step(:one), event_type: :completed))
      .to include(step_name: "one", attempt_number: 1, started_at: nil, completed_at: nil, execution_duration: nil)
  end

  it "does not know when a task began that has not" do
    configure
    task = TaskerCore.submit(one_step("later") { 1 }, run_at: Time.now + 3600)
    expect(described_class.build_task_payload(task, event_type: :started))
      .to include(started_at: nil, completed_at: nil, total_steps: 1, completed_steps: 0)
    task.cancel
    expect(described_class.build_task_payload(task, event_type: :cancelled))
      .to include(started_at: nil, completed_at: utc, event_type: "cancelled")
  end

  it "says what it needs" do
    expect { described_class.build_step_payload({}, event_type: :x) }
      .to raise_error(TaskerCore::InvalidInputError, /pass the handler's step or one of task.steps, not Hash/)
    expect { described_class.build_task_payload("uuid", event_type: :x) }
      .to raise_error(TaskerCore::InvalidInputError, /pass a task, not String/)
  end
end

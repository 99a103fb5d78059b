# frozen_string_literal: true

RSpec.describe TaskerCore::EventPublisher do
  let(:publisher) do
    Class.new do
      include TaskerCore::EventPublisher

      def do(name, *arguments, **options) = send(name, *arguments, **options)
    end.new
  end
  let(:step) { step_context }
  let(:events) { [] }
  let(:lines) { [] }

  def flush
    TaskerCore::Events::Publisher.instance.flush
    events
  end

  def subscribe(pattern = "#")
    TaskerCore::Events::Publisher.instance.subscribe(pattern) { |event| events << event }
  end

  before { allow(TaskerCore.logger).to receive(:error) { |line| lines << line } }

  it "has another name, and adds no public methods" do
    expect(TaskerCore::Concerns::EventPublisher).to equal(described_class)
    expect(described_class.public_instance_methods).to eq([])
  end

  describe "lifecycle events" do
    it "have the payloads of steps" do
      subscribe
      publisher.do(:publish_step_event, TaskerCore::Constants::StepEvents::EXECUTION_REQUESTED, step,
                   event_type: :started, additional_context: { rows: 3 })
      publisher.do(:publish_step_completed, step, additional_context: { rows: 4 }, more: 5)
      publisher.do(:publish_step_event, "step.retry_requested", step)
      expect(flush.map(&:name)).to eq(%w[step.execution_requested step.completed step.retry_requested])
      expect(events.map { |event| event[:event_type] }).to eq(%w[started completed retry_requested])
      expect(events[0].payload).to include(step_id: step.step_uuid, rows: 3)
      expect(events[1].payload).to include(step_name: "charge", completed_at: String, rows: 4, more: 5)
    end

    it "have the error that is being rescued, or the one they are given" do
      subscribe
      begin
        raise IOError, "gateway"
      rescue IOError => e
        publisher.do(:publish_step_event, "step.failed", step, event_type: :failed,
                                                               additional_context: { error_class: e.class.name })
        publisher.do(:publish_step_failed, step)
      end
      publisher.do(:publish_step_failed, step, error: KeyError.new("x"), attempt: "last")
      publisher.do(:publish_step_failed, step)
      expect(flush.map { |event| event.payload.values_at(:error_class, :error_message, :event_type) })
        .to eq([%w[IOError gateway failed], %w[IOError gateway failed], %w[KeyError x failed], [nil, nil, "failed"]])
      expect(events[1].payload.keys).to eq(TaskerCore::EventPayloadBuilder::ERROR_KEYS)
      expect(events[2][:attempt]).to eq("last")
    end

    it "have the payloads of tasks and of their orchestration" do
      configure
      task = TaskerCore.submit(one_step { 1 })
      TaskerCore::Events::Publisher.instance.subscribe { |event| event.source == :application && events << event }
      publisher.do(:publish_task_event, TaskerCore::Constants::TaskEvents::START_REQUESTED, task, event_type: :started)
      publisher.do(:publish_workflow_event, TaskerCore::Constants::WorkflowEvents::NO_VIABLE_STEPS, task,
                   additional_context: { reason: "none" })
      publisher.do(:publish_workflow_event, "workflow.task_started", "a-uuid")
      TaskerCore::Telemetry::Context.with_step(step) { publisher.do(:publish_workflow_event, "workflow.task_started") }
      flush
      expect(events[0].payload).to include(task_id: task.task_uuid, total_steps: 1, event_type: "started")
      expect(events[1].payload).to include(task_id: task.task_uuid, event_type: "no_viable_steps", reason: "none")
      expect(events.drop(2).map { |event| event[:task_id] }).to eq(["a-uuid", step.task_uuid])
    end

    it "are not made when nobody is to be told" do
      subscribe("task.*")
      expect(publisher.do(:publish_step_completed, :not_a_step)).to be_nil
      expect(flush).to eq([])
      expect(lines).to eq([])
    end

    it "end with a line when they cannot be published" do
      subscribe
      expect(publisher.do(:publish_step_completed, :not_a_step)).to be_nil
      publisher.do(:publish_task_event, "task.failed", TaskerCore::Task.new("no uuid"))
      publisher.do(:publish_workflow_event, "no name")
      expect(flush).to eq([])
      expect(lines[0]).to eq("Error publishing event step.completed : pass the handler's step or one of task.steps, " \
                             "not Symbol")
      expect(lines[1]).to start_with("Error publishing event task.failed : ")
      expect(lines[2]).to start_with("Error publishing event no name : ")
    end
  end

  describe "domain events in a handler" do
    def collected
      JSON.parse(step.collected || "[]", symbolize_names: true)
    end

    def publish(...)
      TaskerCore::Telemetry::Context.with_step(step) { publisher.do(:publish_event, ...) }
    end

    it "are collected with the attempt, and have their id at once" do
      ids = [publish("order.paid", { amount: 5 }), publish("order.seen", delivery_mode: :fast, key: 7)]
      expect(ids).to all(match(/\A\h{8}-\h{4}-7/))
      paid = { event_id: ids[0], name: "order.paid", delivery_mode: "durable", payload: { amount: 5 } }
      expect(collected).to eq([paid, { event_id: ids[1], name: "order.seen", delivery_mode: "fast", key: "7",
                                       payload: {} }])
      expect(TaskerCore::Native.open?).to be(false)
    end

    it "end with a line when they cannot be published, unless the handler asked for an error" do
      expect(publish("Order", { secret: "x" })).to be_nil
      expect(publish("order.paid", { amount: Float::NAN })).to be_nil
      expect(publish("order.paid", {}, delivery: :fast)).to be_nil
      expect(lines).to match([/\AError publishing event Order : "Order" cannot be the name/,
                              /\AError publishing event order.paid : event order.paid: payload\[:amount\] is NaN/,
                              /\AError publishing event order.paid : unknown keyword: :delivery/])
      expect { publish("order.paid", { amount: Float::NAN }, raise_errors: true) }
        .to raise_error(TaskerCore::InvalidInputError, /NaN/)
      expect(collected).to eq([])
    end
  end
end

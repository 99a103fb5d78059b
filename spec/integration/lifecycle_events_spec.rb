# frozen_string_literal: true

# What the engine itself says of tasks and steps, to subscribers of this process.
RSpec.describe "Lifecycle events of the engine" do
  let(:events) { Queue.new }
  let(:seen) { [] }

  before { configure }

  def subscribe
    TaskerCore::Events::Publisher.instance.subscribe { |event| events << event }
  end

  # The events up to the first of that name.
  def until_event(name)
    loop do
      seen << events.pop
      break if seen.last.name == name
    end
    seen.map(&:name)
  end

  def template(**handlers)
    TaskerCore.configuration.handlers = handlers.transform_keys(&:to_s)
    retries = quick(2)
    TaskerCore.template("order") do
      handlers.each_key.inject(nil) do |before, name|
        step name, handler: name.to_s, depends_on: Array(before), retry: retries
        name
      end
    end
  end

  it "come for every task and every step, in order, with the payloads of handlers' events" do
    template(one: ->(_step) { 1 }, two: ->(_step) { 2 })
    subscribe
    task = run_task("order")
    expect(until_event("workflow.task_completed")).to eq(
      %w[task.initialize_requested task.start_requested workflow.task_started step.execution_requested
         workflow.viable_steps_discovered step.before_handle step.handle step.completed workflow.step_completed
         step.execution_requested workflow.viable_steps_discovered step.before_handle step.handle step.completed
         workflow.step_completed task.completed workflow.task_completed]
    )
    expect(seen.map(&:source).uniq).to eq([:engine])
    expect(seen.map(&:correlation_id).uniq).to eq([task.correlation_id])
    expect(seen.map { |event| event.context.trace_id }.uniq).to eq([task.trace_id])

    step = seen.find { |event| event.name == "step.completed" }
    expect(step.payload).to match(
      task_id: task.task_uuid, step_id: task.step(:one).step_uuid, step_name: "one", started_at: String,
      completed_at: String, execution_duration: Float, attempt_number: 1, retry_limit: 2, event_type: "completed",
      timestamp: /\A\d{4}-\d\d-\d\dT.*Z\z/
    )
    ended = seen.find { |event| event.name == "task.completed" }
    expect(ended.payload).to include(task_id: task.task_uuid, task_name: "order", total_steps: 2, completed_steps: 2,
                                     failed_steps: 0, event_type: "completed")
    expect(Time.iso8601(ended[:completed_at])).to eq(task.completed_at)
  end

  it "tell of attempts that fail, of those that follow, and of the last one" do
    template(one: ->(_step) { raise IOError, "gateway" })
    subscribe
    task = run_task("order")
    names = until_event("task.failed").grep(/\Astep\.|\Aworkflow\.step/)
    expect(names).to eq(%w[step.execution_requested step.before_handle step.failed step.retry_requested
                           step.execution_requested step.before_handle step.failed step.max_retries_reached
                           workflow.step_failed])
    first, last = seen.select { |event| event.name == "step.failed" }
    expect(first.payload).to match(
      task_id: task.task_uuid, step_id: task.step(:one).step_uuid, step_name: "one", error_message: "gateway",
      error_class: "IOError", backtrace: include(/lifecycle_events_spec/), attempt_number: 1, retry_limit: 2,
      event_type: "failed", timestamp: String
    )
    expect(last[:attempt_number]).to eq(2)
    expect(seen.last.payload).to include(failed_steps: 1, completed_steps: 0)
  end

  it "tell of tasks that are cancelled, and of those that go on after a rerun" do
    failing = true
    template(one: ->(_step) { failing ? raise(TaskerCore::PermanentError, "no") : 1 })
    subscribe
    TaskerCore.submit("order", {}, run_at: Time.now + 3600).cancel
    expect(until_event("task.cancelled")).to include("task.initialize_requested", "step.cancelled")
    task = run_task("order")
    failing = false
    task.rerun(:one)
    task.wait(timeout: 20)
    expect(until_event("task.retry_requested")).to include("task.failed")
    expect(until_event("task.completed")).to include("workflow.task_started")
  end

  it "are those of tasks, steps and workflows that the constants name" do
    source = RustSource.new("ext/tasker_engine/src/engine/report/lifecycle.rs")
    published = source.code.scan(/"((?:task|step|workflow)\.[a-z_]+)"/).flatten.uniq
    groups = %i[TaskEvents StepEvents WorkflowEvents].map { |name| TaskerCore::Constants.const_get(name) }
    named = groups.flat_map { |group| TaskerCore::Events::Notifications.lifecycle_names(group) }
    expect(published).to match_array(named)
  end

  it "cost the engine nothing when the last subscription has ended" do
    template(one: ->(_step) { 1 })
    subscription = subscribe
    run_task("order")
    until_event("workflow.task_completed")
    subscription.unsubscribe
    wait_until("the thread to end") { !TaskerCore::Events.bus.running? }
    run_task("order")
    expect(events).to be_empty
    again = subscribe
    expect(TaskerCore::Events.bus).to be_running
    run_task("order")
    expect(until_event("workflow.task_completed").count("task.initialize_requested")).to eq(2)
    again.unsubscribe
  end

  it "become spans with the names and attributes of Tasker" do
    template(one: ->(step) { step.attempt == 1 ? raise(IOError, "busy") : 1 })
    subscriber = TaskerCore::Events::Subscribers::TelemetrySubscriber.subscribe
    subscribe
    task = nil
    spans = TaskerCore::Telemetry.capture do
      task = run_task("order")
      until_event("workflow.task_completed")
      TaskerCore.shutdown
    end
    made = spans.select { |span| span[:name].start_with?("tasker.") }
    expect(made.map { |span| span[:name] })
      .to eq(%w[tasker.step.processing tasker.step.processing tasker.task.started tasker.task.completed])
    expect(made.map { |span| span[:trace_id] }.uniq).to eq([task.trace_id])
    handlers = spans.select { |span| span[:name] == "handler.execution" }.map { |span| span[:span_id] }
    expect(made.first(2).map { |span| span[:parent_span_id] }).to eq(handlers)
    expect(made[0][:error]).to eq("IOError: busy")
    expect(made[1][:attributes]).to include(step: "one", attempt_number: 2, task_id: task.task_uuid)
    expect(made[3][:attributes]).to include(total_steps: 1, completed_steps: 1)
    expect(made[2][:end_us] - made[2][:start_us]).to be > 0
  ensure
    subscriber.unsubscribe
  end

  it "delay no step when a subscriber hangs, and none of them is told twice" do
    template(one: ->(_step) { 1 })
    release = Queue.new
    calls = 0
    TaskerCore::Events::Publisher.instance.subscribe("task.completed") do
      calls += 1
      release.pop
    end
    20.times { run_task("order") }
    wait_until("the subscriber to hang") { calls == 1 }
    20.times { release << true }
    wait_until("all to be told") { calls == 20 }
  end
end

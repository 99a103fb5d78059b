# frozen_string_literal: true

require "securerandom"

# docs/internals/spans.md against the spans of workflows that really run, with all that can become of a step.
RSpec.describe "the spans of docs/internals/spans.md" do
  let(:traceparent) { "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }
  # Of a caller who does not keep the trace.
  let(:unsampled) { "00-1bf7651916cd43dd8448eb211c80319c-c8ad6b7169203331-00" }
  let(:sections) { SpanSection.all }

  # Every span of the tasks that the block gives, and what the store says of them.
  def watch(**settings)
    @acts = {}
    configure(handlers: { "act" => ->(step) { @acts.fetch([step.task_name, step.step_name]).call(step) } })
    tasks = nil
    spans = TaskerCore::Telemetry.capture do
      TaskerCore::Worker.start(concurrency: 2, **settings)
      tasks = yield
      @transitions = tasks.to_h { |task| [task.task_uuid, task.transitions] }
      TaskerCore.shutdown # ends after the last span
      TaskerCore::Telemetry.spans
    end
    ours = tasks.map(&:trace_id)
    spans.select { |span| ours.include?(span[:trace_id]) }
  end

  # A task of one step, which the block carries out.
  def submit(name, options = {}, submission = {}, &act)
    @acts[[name, "only"]] = act
    TaskerCore.template(name) { step :only, handler: "act", **options }
    TaskerCore.submit(name, {}, **submission)
  end

  def until_cancelled(step)
    Thread.pass until step.cancelled?
  end

  # A retry, a step that fails for good and blocks another, a trace that came in, a parent workflow.
  def failing
    busy = TaskerCore::RetryableError.new("busy", retry_after: 0)
    @acts[%w[failing first]] = ->(step) { step.attempt == 1 ? raise(busy) : { ok: true } }
    @acts[%w[failing second]] = ->(_) { raise TaskerCore::PermanentError, "no" }
    TaskerCore.template("failing") do
      step :first, handler: "act"
      step :second, handler: "act", depends_on: :first
      step :third, handler: "act", depends_on: :second
    end
    options = { traceparent: traceparent, parent_correlation_id: "0190a5d2-3c4b-7a6f-8123-456789abcdef" }
    TaskerCore.submit("failing", {}, **options).wait(timeout: 20)
  end

  # Cancelled while its handler runs.
  def cancelled
    started = Queue.new
    task = submit("endless") do |step|
      started << true
      until_cancelled(step)
    end
    started.pop
    task.tap(&:cancel)
  end

  def timed_out
    submit("late", { timeout: 0.01, retry: quick(1) }) { |step| until_cancelled(step) }.wait(timeout: 20)
  end

  def resolved
    task = submit("resolved", { retry: quick(1) }) { |_| raise TaskerCore::PermanentError, "no" }
    task.wait(timeout: 20).resolve(:only, result: { by: "hand" })
  end

  # A completion without trace_id and span_id, which Ruby may leave out.
  def without_ids
    bridge = TaskerCore::Worker::EventBridge.instance
    allow(bridge).to receive(:publish_step_completion).and_wrap_original do |publish, payload|
      publish.call(payload.reject { |key, _| %i[trace_id span_id].include?(key) })
    end
    submit("without_ids") { |_| { done: true } }.wait(timeout: 20)
  end

  # Sampled out, and failed.
  def sampled_out
    submit("sampled_out", { retry: quick(1) }, { traceparent: unsampled }) do |_|
      raise TaskerCore::PermanentError, "no"
    end.wait(timeout: 20)
  end

  # The attempt's worker.step_execution, handler.execution and nothing that came back.
  def given_back
    started = Queue.new
    task = submit("given_back") do |step|
      started << true
      until_cancelled(step)
    end
    started.pop
    TaskerCore::Worker.stop(timeout: 0)
    task
  end

  # A step that publishes an event of each kind.
  def publishing
    @acts[%w[publishing only]] = ->(_) { { paid: true } }
    modes = %w[durable fast broadcast]
    events = modes.map { |mode| { name: "order.#{mode}", delivery_mode: mode } }
    template = { name: "publishing", steps: [{ name: "only", handler: "act", publishes_events: events }] }
    TaskerCore::Native.register_template("spec", JSON.generate(template))
    TaskerCore.submit("publishing", {}).wait(timeout: 20)
  end

  def every_kind
    @every_kind ||= watch { [failing, cancelled, timed_out, resolved, without_ids, sampled_out, publishing] }
  end

  # What the block finds wrong with a span, by its section: nil, a fault, or several.
  def faults
    every_kind.flat_map do |span|
      Array(yield(span, sections.fetch(span[:name]))).map { |fault| "#{span[:name]}: #{fault}" }
    end.uniq
  end

  def named(spans, name)
    spans.select { |span| span[:name] == name }
  end

  it "are all seen, and no other" do
    expect(every_kind.map { |span| span[:name] }.uniq).to match_array(sections.keys)
  end

  it "have the attributes of their table, of its types, and no other" do
    expect(faults { |span, section| SpanSection.faults(span[:attributes], section.attributes) }).to eq([])
  end

  it "show every attribute of the tables" do
    seen = every_kind.group_by { |span| span[:name] }.transform_values do |spans|
      spans.flat_map { |span| span[:attributes].keys.map(&:to_s) }.uniq.sort
    end
    expect(seen).to eq(sections.transform_values { |section| section.attributes.keys.sort })
  end

  it "have the events of their table, at its moments" do
    found = faults do |span, section|
      names = span[:events].map { |event| event[:name] }
      always = section.events.reject { |_, event| event[:optional] }.keys
      next "has the events #{names}" unless (always - names).empty? && (names - section.events.keys).empty?

      span[:events].flat_map do |event|
        documented = section.events[event[:name]]
        at = documented[:at] == "start" ? span[:start_us] : span[:end_us]
        wrong = SpanSection.faults(event[:attributes], documented[:attributes])
        event[:at_us] == at ? wrong : wrong + ["#{event[:name]} is not at its #{documented[:at]}"]
      end
    end
    expect(found).to eq([])
  end

  it "have the parent of their section" do
    by_id = every_kind.to_h { |span| [span[:span_id], span] }
    found = faults do |span, section|
      line = section.line("Parent")
      parent = by_id[span[:parent_span_id]]
      next ("has no parent" unless line.start_with?("none")) unless parent

      parents = line[/\A`[\w.]+`(?: or `[\w.]+`)*/].to_s
      next "its parent is #{parent[:name]}" unless parents.include?("`#{parent[:name]}`")

      final = TaskerCore::Task::FINAL_STATES if line.include?("to a final state")
      next "its parent is not final" unless final.nil? || final.include?(parent[:attributes][:to_state])

      states = { from_state: line[/from `(\w+)`/, 1], to_state: line[/to `(\w+)`/, 1] }.compact
      next "its parent goes elsewhere" unless states.all? { |key, state| parent[:attributes][key] == state }

      "is not where its parent is" if section.line("Start, end") == "its parent's" &&
                                      span.values_at(:start_us, :end_us) != parent.values_at(:start_us, :end_us)
    end
    expect(found).to eq([])
  end

  it "have the status of their section" do
    expect(faults { |span, section| span[:error] unless section.status?(span[:error]) }).to eq([])
    expect(every_kind.map { |span| span[:error] }).to include("a step failed for good", "the step became cancelled")
  end

  it "are one tree for each task" do
    every_kind.group_by { |span| span[:trace_id] }.each do |trace_id, spans|
      ids = spans.map { |span| span[:span_id] }
      expect(ids.uniq).to eq(ids)
      roots = spans.reject { |span| ids.include?(span[:parent_span_id]) }
      expect(roots.map { |root| root[:name] }).to eq(["task.orchestration"])
      callers = [traceparent, unsampled].to_h { |header| header.split("-")[1, 2] }
      expect(roots.first[:parent_span_id]).to eq(callers[trace_id])
    end
  end

  it "lie inside their parents, until an operator goes on with a task that had ended" do
    spans = every_kind
    by_id = spans.to_h { |span| [span[:span_id], span] }
    reopened = spans.select { |span| span[:attributes][:from_state] == "error" }.map { |span| span[:trace_id] }
    expect(reopened).not_to be_empty
    later = %w[worker.stale_completion_received publish_domain_event]
    outside = spans.reject { |span| reopened.include?(span[:trace_id]) || later.include?(span[:name]) }.reject do |span|
      parent = by_id.fetch(span[:parent_span_id], span)
      times = [parent[:start_us], span[:start_us], span[:end_us], parent[:end_us]]
      times == times.sort
    end
    expect(outside).to eq([])
  end

  it "link a completion to its attempt, when Ruby handed the ids back" do
    attempts = named(every_kind, "worker.step_execution").map { |span| span.slice(:trace_id, :span_id) }
    received = named(every_kind, "worker.step_completion_received")
    with_ids, without = received.partition { |span| span[:attributes].key?(:trace_id) }
    expect(without.flat_map { |span| span[:links] }).to eq([])
    with_ids.each { |span| expect(span[:links]).to eq([span[:attributes].slice(:trace_id, :span_id)]) }
    expect(with_ids.flat_map { |span| span[:links] } - attempts).to eq([])
    expect([with_ids, without]).to all(be_any)
  end

  it "begin and end when the store's transitions say" do
    spans = every_kind
    @transitions.each do |task_uuid, transitions|
      own = spans.select { |span| span[:attributes][:task_uuid] == task_uuid }
      next if own.any? { |span| span[:attributes][:sampled_out] }

      expect(moves_of(own)).to match_array(rows(transitions.reject(&:step)) { |row| [row.from_state, row.to_state] })
      attempts = named(own, "worker.step_execution")
      claims, ends = %i[to_state from_state].map do |side|
        rows(transitions.select { |row| row.step && row.public_send(side) == "in_progress" }) { |row| [row.step] }
      end
      expect(attempts.map { |span| [span[:attributes][:step_name], span[:start_us]] }).to match_array(claims)
      expect(attempts.map { |span| [span[:attributes][:step_name], span[:end_us]] }).to match_array(ends)
    end
  end

  def moves_of(spans)
    named(spans, "task.state_transition").map do |span|
      [*span[:attributes].values_at(:from_state, :to_state), span[:end_us]]
    end
  end

  def rows(transitions)
    transitions.map { |row| [*yield(row), (row.created_at.to_r * 1_000_000).to_i] }
  end

  it "tell of an attempt that was given back in a stop" do
    spans = watch { [given_back] }
    ended = spans.select { |span| %w[worker.step_execution handler.execution].include?(span[:name]) }
    expect(ended.map { |span| span[:error] }).to eq(["the worker stopped before the handler was done"] * 2)
    ended.each { |span| expect(sections[span[:name]].status?(span[:error])).to be(true) }
    expect(spans.map { |span| span[:name] }).not_to include("task.orchestration")
  end

  it "are as long as the attempt, where the outcome of a handler is unknown" do
    by_id = every_kind.to_h { |span| [span[:span_id], span] }
    unknown, known = named(every_kind, "handler.execution").partition do |span|
      span[:attributes].key?(:"handler.outcome_unknown")
    end
    expect(unknown.map { |span| span[:error] }).to include("the step became cancelled", /\ATaskerCore::StepTimeout: /)
    attempts = unknown.map { |span| by_id.fetch(span[:parent_span_id]) }
    expect(unknown.map { |span| span.slice(:start_us, :end_us, :error) })
      .to eq(attempts.map { |span| span.slice(:start_us, :end_us, :error) })
    back = named(every_kind, "result.submission").map { |span| span[:parent_span_id] }
    expect(unknown.map { |span| span[:parent_span_id] } & back).to eq([])
    expect(back - known.map { |span| span[:parent_span_id] }).to eq([])
  end

  it "tell how long a handler ran, whether it failed or not" do
    spans = watch do
      works = submit("works") { |_| sleep(0.02) }
      fails = submit("fails") { |_| sleep(0.02) && raise(TaskerCore::PermanentError, "no") }
      [works, fails].map { |task| task.wait(timeout: 20) }
    end
    runs = spans.select { |span| span[:name] == "handler.execution" }
    expect(runs.map { |span| span[:end_us] - span[:start_us] }).to all(be >= 20_000)
    measured = spans.flat_map { |span| span[:events] }.filter_map { |event| event.dig(:attributes, :duration_ms) }
    expect(measured).to all(be >= 20.0)
  end

  it "are not there for a task that is not sampled" do
    seen = nil
    spans = watch do
      [submit("unsampled", {}, { traceparent: unsampled }) { |step| seen = step.traceparent }.wait(timeout: 20)]
    end
    expect(spans).to eq([])
    expect(seen).to end_with("-00")
  end

  it "are those of the failure for a task that is not sampled and fails" do
    spans = watch do
      @acts[%w[half good]] = ->(_) { TaskerCore.span("own") { 1 } }
      @acts[%w[half bad]] = lambda do |step|
        step.attempt == 1 ? raise(TaskerCore::RetryableError.new("busy", retry_after: 0)) : 1
      end
      TaskerCore.template("half") do
        step :good, handler: "act"
        step :bad, handler: "act", depends_on: :good
      end
      [TaskerCore.submit("half", {}, traceparent: unsampled).wait(timeout: 20)]
    end
    expect(spans.map { |span| [span[:name], span[:error]] }).to eq(
      [["worker.step_execution", "TaskerCore::RetryableError: busy"],
       ["handler.execution", "TaskerCore::RetryableError: busy"], ["task.orchestration", nil]]
    )
    expect(spans.map { |span| span[:attributes][:sampled_out] }).to all(be(true))
    expect(spans.drop(1).map { |span| span[:attributes][:step_name] }.compact).to eq(%w[bad])
  end
end

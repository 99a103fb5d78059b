# frozen_string_literal: true

# A trace is kept or dropped whole: as a collector sees it.
RSpec.describe "A trace" do
  around { |example| OtlpSink.open { |sink| (@sink = sink) && example.run } }

  attr_reader :sink

  def configure_here(**telemetry)
    configure(telemetry: sink.settings.merge(log_level: "off", **telemetry))
  end

  # Templates in namespaces `kept` and `bulk`; the first one's handler submits the second and runs a span.
  def nested
    inner = nil
    TaskerCore.configuration.handlers = {
      "outer" => lambda { |_|
        TaskerCore.span("work") { inner = TaskerCore.submit("inner", namespace: "bulk") }
        nil
      },
      "inner" => ->(_) {}
    }
    TaskerCore.template("outer", namespace: "kept") { step :only, handler: "outer" }
    TaskerCore.template("inner", namespace: "bulk") { step :only, handler: "inner" }
    run_task("outer", namespace: "kept").tap { inner.wait(timeout: 20) }
  end

  def names(trace_id)
    TaskerCore.shutdown
    sink.spans.select { |span| span.trace_id == trace_id }.map(&:name).tally
  end

  %w[always_on traceidratio parentbased_always_on].each do |sampler|
    it "has the tasks that its handlers submit, whatever their namespace's share (#{sampler})" do
      configure_here(sampler: sampler, trace_sample: { kept: 1.0, bulk: 0.0 })
      expect(names(nested.trace_id)).to include("task.orchestration" => 2, "handler.execution" => 2, "work" => 1)
    end

    it "is left out with the tasks that its handlers submit (#{sampler})" do
      configure_here(sampler: sampler, trace_sample: { kept: 0.0, bulk: 1.0 })
      expect(names(nested.trace_id)).to eq({})
    end
  end

  it "has the task's own spans without those of steps that are left out, and nothing below these" do
    configure_here(step_sample: { kept: 0.0 })
    expect(names(nested.trace_id)).to match("task.orchestration" => 1, "task.state_transition" => be > 3,
                                            "task.finalization" => 1, "step.discovery" => 1, "step.enqueuing" => 1,
                                            "result.evaluation" => 1)
  end

  [["always_on", "00", true], ["always_off", "01", false], ["parentbased_always_on", "00", false],
   ["parentbased_always_off", "01", true]].each do |sampler, flag, kept|
    it "that comes in with #{flag} is #{kept ? 'kept' : 'dropped'} whole by #{sampler}" do
      configure_here(sampler: sampler, trace_sample: { default: kept ? 0.0 : 1.0 })
      trace_id = "0af7651916cd43dd8448eb211c80319c"
      header = "00-#{trace_id}-b7ad6b7169203331-#{flag}"
      name = one_step("joins") { |_| TaskerCore.span("inside") { nil } }
      TaskerCore::Worker.start(concurrency: 1)
      tasks = TaskerCore.with_context(header) do
        TaskerCore.span("request") { [TaskerCore.submit(name), TaskerCore.submit(name, traceparent: header)] }
      end
      tasks.each { |task| task.wait(timeout: 20) }
      expected = { "request" => 1, "inside" => 2, "task.orchestration" => 2, "handler.execution" => 2 }
      expect(names(trace_id).slice(*expected.keys)).to eq(kept ? expected : {})
    end
  end
end

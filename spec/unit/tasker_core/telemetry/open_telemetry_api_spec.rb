# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::OpenTelemetryApi do
  let(:api) { OpenTelemetryStandIn }
  let(:traceparent) { "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }

  before { stub_const("OpenTelemetry", api) }

  def theirs
    api::Trace.current_span.context
  end

  it "makes the handler's span the gem's current one" do
    step = step_context(traceparent: traceparent)
    TaskerCore::Telemetry::Context.with_step(step) do
      expect([theirs.hex_trace_id, theirs.hex_span_id]).to eq(%w[0af7651916cd43dd8448eb211c80319c b7ad6b7169203331])
      expect(theirs.trace_flags).to be_sampled
    end
    expect(theirs).not_to be_valid
  end

  it "says so when the trace is not kept" do
    TaskerCore.with_context(traceparent.sub(/01\z/, "00")) { expect(theirs.trace_flags).not_to be_sampled }
  end

  it "makes a span of ours the gem's current one, so that its instrumentation nests" do
    TaskerCore.span("ours") do |span|
      api.in_span("\2" * 8) { |inner| expect(inner.hex_trace_id).to eq(span.trace_id) }
      expect(theirs.hex_span_id).to eq(span.span_id)
    end
  end

  it "takes the gem's current span for the parent, and keeps the task's correlation id" do
    step = step_context(traceparent: traceparent)
    TaskerCore::Telemetry::Context.with_step(step) do
      api.in_span("\2" * 8) do |inner|
        expect(TaskerCore.context.span_id).to eq(inner.hex_span_id)
        expect(TaskerCore.context.correlation_id).to eq(step.correlation_id)
      end
      expect(TaskerCore.traceparent).to eq(traceparent)
    end
  end

  it "gives a submission the gem's context" do
    configure
    TaskerCore.template("traced") { step :only, handler: "x" }
    api.in_span("\2" * 8) do |context|
      expect(TaskerCore.submit("traced").trace_id).to eq(context.hex_trace_id)
    end
  end

  it "does not break a handler when the gem is another one than expected" do
    stub_const("OpenTelemetry", Module.new)
    stub_const("OpenTelemetry::Trace", Module.new)
    expect(TaskerCore.with_context(traceparent) { TaskerCore.traceparent }).to eq(traceparent)
  end
end

# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Context do
  let(:traceparent) { "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }

  it "reads a traceparent, and nothing else" do
    context = described_class.parse(traceparent)
    expect([context.trace_id, context.span_id]).to eq(%w[0af7651916cd43dd8448eb211c80319c b7ad6b7169203331])
    expect(context).to be_sampled.and be_remote
    expect(described_class.parse(traceparent.sub(/01\z/, "00"))).not_to be_sampled
    [nil, "", "x", traceparent.upcase, traceparent.sub("0af7", "0AF7")].each do |text|
      expect(described_class.parse(text)).to be_nil
    end
  end

  it "is nobody's outside of spans and steps" do
    expect(TaskerCore.context).to be_nil
    expect(TaskerCore.traceparent).to be_nil
  end

  it "is the step's on its thread, in every fiber" do
    step = step_context(traceparent: traceparent)
    described_class.with_step(step) do
      expect(TaskerCore.context.correlation_id).to eq(step.correlation_id)
      expect(Fiber.new { TaskerCore.traceparent }.resume).to eq(traceparent)
      expect(Thread.new { TaskerCore.context }.value).to be_nil
    end
    expect(TaskerCore.context).to be_nil
  end

  it "is handed over to threads and fibers" do
    TaskerCore.span("outer") do |span|
      context = TaskerCore.context
      seen = Thread.new { TaskerCore.with_context(context) { TaskerCore.context } }.value
      expect(seen).to eq(span.context)
      expect(Fiber.new { TaskerCore.context }.resume).to be_nil
    end
  end

  it "is put back after the block, however it ends" do
    expect { TaskerCore.with_context(traceparent) { raise "no" } }.to raise_error("no")
    expect(catch(:out) { TaskerCore.with_context(traceparent) { throw :out, 1 } }).to eq(1)
    expect(TaskerCore.context).to be_nil
  end

  it "may be given as a header" do
    TaskerCore.with_context(traceparent) { expect(TaskerCore.traceparent).to eq(traceparent) }
    TaskerCore.with_context("nonsense") { expect(TaskerCore.context).to be_nil }
  end
end

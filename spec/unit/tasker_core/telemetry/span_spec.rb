# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Span do
  def capture(&block)
    spans = nil
    TaskerCore::Telemetry.capture do
      block.call
      spans = TaskerCore::Telemetry.spans
    end
    spans
  end

  it "is recorded with what it was given" do
    span, = capture do
      TaskerCore.span("charge card", amount: 5) do |it|
        it.set(receipt: "r1", list: [1]).set("odd key" => 1)
        it.event("authorized", gateway: "g", token: "t")
      end
    end
    expect(span).to include(name: "charge card", parent_span_id: nil, error: nil)
    expect(span[:attributes]).to eq(amount: 5, receipt: "r1", list: "[1]", "odd key": 1)
    event, = span[:events]
    expect(event).to include(name: "authorized", attributes: { gateway: "g", token: "[FILTERED]" })
    expect(event[:at_us]).to be_between(span[:start_us], span[:end_us])
  end

  it "gives the block's value" do
    expect(TaskerCore.span("x") { 42 }).to eq(42)
  end

  it "nests, and each span has ids of its own" do
    inner, outer = capture { TaskerCore.span("outer") { TaskerCore.span("inner") { nil } } }
    expect(inner).to include(parent_span_id: outer[:span_id], trace_id: outer[:trace_id])
    expect(inner[:span_id]).not_to eq(outer[:span_id])
  end

  it "notes an exception, which goes on" do
    span, = capture { expect { TaskerCore.span("x") { raise ArgumentError, "no" } }.to raise_error(ArgumentError) }
    expect(span[:error]).to eq("ArgumentError: no")
    expect(span[:events].first).to include(name: "exception")
    expect(span[:events].first[:attributes]).to include(
      "exception.type": "ArgumentError", "exception.message": "no",
      "exception.stacktrace": a_string_including("span_spec")
    )
  end

  it "ends without an error when the block is left otherwise" do
    span, = capture { catch(:out) { TaskerCore.span("x") { throw :out } } }
    expect(span[:error]).to be_nil
    span, = capture { expect { TaskerCore.span("x") { exit } }.to raise_error(SystemExit) }
    expect(span[:error]).to be_nil
  end

  it "may say that it failed" do
    span, = capture { TaskerCore.span("x") { |it| it.fail("declined") } }
    expect(span[:error]).to eq("declined")
  end

  it "belongs to its step" do
    step = step_context(traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    span, = capture { TaskerCore::Telemetry::Context.with_step(step) { TaskerCore.span("x") { nil } } }
    expect(span).to include(trace_id: "0af7651916cd43dd8448eb211c80319c", parent_span_id: "b7ad6b7169203331")
    expect(span[:attributes]).to eq(correlation_id: step.correlation_id)
  end

  it "has ids in a trace that is not kept, and is not recorded" do
    spans = capture do
      TaskerCore.with_context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00") do
        value = TaskerCore.span("x") { |span| [span.sampled?, span.trace_id, span.span_id.size] }
        expect(value).to eq([false, "0af7651916cd43dd8448eb211c80319c", 16])
      end
    end
    expect(spans).to eq([])
  end

  it "is right across threads" do
    spans = capture do
      TaskerCore.span("outer") do
        context = TaskerCore.context
        Array.new(8) do |number|
          Thread.new { TaskerCore.with_context(context) { TaskerCore.span("t#{number}") { Thread.pass } } }
        end.each(&:join)
      end
    end
    outer = spans.find { |span| span[:name] == "outer" }
    expect(spans.count { |span| span[:parent_span_id] == outer[:span_id] }).to eq(8)
    expect(spans.map { |span| span[:span_id] }.uniq.size).to eq(9)
  end

  it "counts events beyond a thousand" do
    span, = capture { TaskerCore.span("x") { |it| 1003.times { it.event("e") } } }
    expect(span[:events].size).to eq(1000)
    expect(span[:attributes]).to eq(dropped_events: 3)
  end

  it "never breaks the block" do
    allow(TaskerCore::Native).to receive(:record_span).and_raise("broken")
    TaskerCore::Telemetry.capture { expect(TaskerCore.span("x") { 1 }).to eq(1) }
  end
end

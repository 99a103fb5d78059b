# frozen_string_literal: true

RSpec.describe TaskerCore::Client do
  before do
    configure(handlers: { "one" => ->(_step) { 1 } })
    TaskerCore.template("order", namespace: "orders") do
      input_schema type: "object", required: ["order_id"], properties: { order_id: { type: "integer" } }
      step :one, handler: "one"
    end
  end

  def submit(context = { order_id: 1 }, **options)
    TaskerCore.submit("order", context, namespace: "orders", **options)
  end

  it "submits with every option" do
    task = submit(version: "1.0.0", priority: 3, idempotency_key: "k", run_at: Time.now + 3600,
                  correlation_id: "0190c0de-0000-7000-8000-000000000001",
                  parent_correlation_id: "0190c0de-0000-7000-8000-000000000002",
                  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    expect(task).to have_attributes(
      correlation_id: "0190c0de-0000-7000-8000-000000000001", trace_id: "0af7651916cd43dd8448eb211c80319c",
      state: "pending", priority: 3, namespace: "orders", name: "order", version: "1.0.0", context: { order_id: 1 },
      parent_correlation_id: "0190c0de-0000-7000-8000-000000000002", created?: true
    )
  end

  it "finds the task of an idempotency key again" do
    first = submit(idempotency_key: "order-1")
    again = submit({ order_id: 2 }, idempotency_key: "order-1")
    expect(again).to eq(first)
    expect([first.created?, again.created?]).to eq([true, false])
  end

  it "refuses what it does not know, before anything is submitted" do
    expect { submit(delay: 3) }
      .to raise_error(TaskerCore::InvalidInputError, /delay; known options: namespace, version/)
    expect { submit([1]) }.to raise_error(TaskerCore::InvalidInputError, /must be a Hash, not Array/)
    expect { submit(run_at: "tomorrow") }.to raise_error(TaskerCore::InvalidInputError, /run_at must be a Time/)
    expect { submit({ order_id: Float::NAN }) }
      .to raise_error(TaskerCore::InvalidInputError, /context\[:order_id\] is NaN/)
  end

  it "says which template there is none of" do
    expect { TaskerCore.submit("missing") }.to raise_error(TaskerCore::NotFoundError, /missing/)
  end

  it "says which field does not fit the schema" do
    expect { submit({ order_id: "seven" }) }
      .to raise_error(TaskerCore::SchemaViolationError) { |error| expect(error.field).to eq("/order_id") }
  end

  it "submits batches, in order" do
    requests = Array.new(50) { |i| { name: "order", namespace: "orders", context: { order_id: i } } }
    tasks = TaskerCore.submit_all(requests)
    expect(tasks.map { |task| task.context[:order_id] }).to eq((0...50).to_a)
    expect(TaskerCore.submit_all([])).to eq([])
  end

  it "says which of a batch were refused, and keeps the others" do
    requests = [{ order_id: 1 }, {}].map do |context|
      { "name" => "order", "namespace" => "orders", "context" => context }
    end
    expect { TaskerCore.submit_all(requests) }.to raise_error(TaskerCore::BatchError, /1 of 2/) { |error|
      expect(error.results).to match([TaskerCore::Task, TaskerCore::SchemaViolationError])
      expect(error.results.first.state).not_to be_nil
    }
  end

  it "refuses what is no request, with an error of the library's own" do
    { nil => /an Array of Hashes, not NilClass/, { name: "x" } => /not Hash/, [5] => /request 0 must be a Hash/,
      [{ name: "x", 5 => 1 }] => /unknown option 5/ }.each do |requests, reason|
      expect { TaskerCore.submit_all(requests) }.to raise_error(TaskerCore::InvalidInputError, reason)
    end
    [nil, 5, "\xFF", "seven", "a\u0000"].each do |uuid|
      expect { TaskerCore.task(uuid) }.to raise_error(TaskerCore::InvalidInputError)
    end
  end

  it "refuses a NUL character in a name" do
    [["a\u0000b", {}], ["a", { namespace: "b\u0000" }], ["a", { version: "\u00001" }]].each do |name, options|
      expect { TaskerCore.submit(name, {}, **options) }.to raise_error(TaskerCore::InvalidInputError, /NUL/)
    end
  end

  it "takes a task whose traceparent is broken, and gives it a trace of its own" do
    TaskerCore.template("later") { step :only, handler: "Later" }
    headers = ["\xFF\xFE".b, "\xFF", "00-", "x" * 100_000, "g\u0000".encode("UTF-16LE"), 5]
    headers.each do |header|
      [{ traceparent: header }, { rack_env: { "HTTP_TRACEPARENT" => header } }].each do |options|
        expect(TaskerCore.submit("later", {}, **options).trace_id).to match(/\A\h{32}\z/)
      end
    end
  end
end

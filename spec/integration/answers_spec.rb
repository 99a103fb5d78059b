# frozen_string_literal: true

# Every attempt is answered, whatever the handler, its exception or its result does; and the worker goes on.
RSpec.describe "Every attempt is answered" do
  before { configure }

  # A String that writes JSON of its own, as it is.
  let(:raw) { Class.new(String) { def to_json(*) = to_s } }

  it "when the exception raises while it is described" do
    hostile = HostileExceptions::CLASSES.each_with_index.map do |(_, error), index|
      one_step("hostile_#{index}", retry: quick(1)) { raise error.allocate }
    end
    fine = one_step("fine") { 1 }
    TaskerCore::Worker.start(concurrency: 2)
    tasks = hostile.map { |name| TaskerCore.submit(name) } << TaskerCore.submit(fine)
    expect(tasks.map { |task| task.wait(timeout: 20).state }).to eq((["error"] * hostile.size) << "complete")
  end

  it "when the exception raises at every attempt, and the attempt has a time limit" do
    name = one_step("limited", timeout: 30, retry: quick(3)) { raise HostileExceptions::CLASSES["its code"] }
    expect(run_task(name).step(:only)).to have_attributes(state: "error", attempts: 3)
    expect(TaskerCore.status[:worker]).to include(in_flight: 0)
  end

  it "as failed for good when the result's text is no JSON" do
    texts = ['{"a":', "", "not json", "\u0000", "[1] [2]", "{\"a\":\u0001}", "\"\xFF\""]
    name = one_step { |step| raw.new(texts[step.input[:index]]) }
    texts.each_index do |index|
      task = run_task(name, { index: index })
      expect(task.state).to eq("error"), texts[index].inspect
      expect(task.step(:only)).to have_attributes(attempts: 1)
      expect(task.error).to include(class: "TaskerCore::UnserializableResultError", retryable: false)
    end
  end

  it "with the result when an object writes good JSON of its own" do
    expect(run_task(one_step { raw.new('{"a":[1,"\\u0000"]}') }).result).to eq(only: { a: [1, "\u0000"] })
  end

  it "and what depends on a result that is no JSON does not run" do
    ran = Queue.new
    bad = raw.new("{")
    TaskerCore.configuration.handlers = { "bad" => ->(_) { bad }, "after" => ->(_) { ran << true } }
    TaskerCore.template("chain") do
      step :first, handler: "bad"
      step :second, handler: "after", depends_on: :first
    end
    task = run_task("chain")
    expect([task.state, task.transitions.size, ran.size]).to match(["error", Integer, 0])
  end
end

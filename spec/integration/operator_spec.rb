# frozen_string_literal: true

# What an operator can do to a task.
RSpec.describe "An operator" do
  before { configure }

  # Fails until it is told to work.
  def repairable
    broken = true
    configure(handlers: {
                "pay" => ->(_) { broken ? raise(TaskerCore::PermanentError, "broken") : { paid: true } },
                "ship" => ->(step) { { shipped: step.dependency(:pay) } }
              })
    TaskerCore.template("order") do
      step :pay, handler: "pay"
      step :ship, handler: "ship", depends_on: :pay
    end
    -> { broken = false }
  end

  it "cancels a task that has not begun" do
    name = one_step { 1 }
    task = TaskerCore.submit(name, {}, run_at: Time.now + 3600)
    expect(task.cancel).to eq("cancelled")
    expect(task.step(:only).state).to eq("cancelled")
    expect { task.cancel }.to raise_error(TaskerCore::IllegalTransitionError)
  end

  it "cancels a task that runs: the handler sees it" do
    inside = Queue.new
    ended = Queue.new
    name = one_step do |step|
      inside << true
      wait_until("the cancellation") { step.cancelled? }
      ended << true
    end
    TaskerCore::Worker.start(concurrency: 1)
    task = TaskerCore.submit(name)
    inside.pop
    expect(task.cancel).to eq("cancelled")
    expect(ended.pop).to be(true)
    expect(task.state).to eq("cancelled")
  end

  it "runs a failed step again, once its cause is gone" do
    repair = repairable
    task = run_task("order")
    expect(task.state).to eq("error")
    repair.call
    expect(task.rerun(:pay).wait(timeout: 20).result).to eq(pay: { paid: true }, ship: { shipped: { paid: true } })
    expect(task.step(:pay).attempts).to eq(2)
  end

  it "resolves a failed step with a result that the next one sees" do
    repairable
    task = run_task("order")
    task.resolve(:pay, result: { by: "hand" }).wait(timeout: 20)
    expect(task).to be_complete
    expect(task.result).to eq(pay: { by: "hand" }, ship: { shipped: { by: "hand" } })
    expect(task.step(:pay).state).to eq("resolved_manually")
  end

  it "resolves a failed task as a whole" do
    repairable
    task = run_task("order")
    expect(task.resolve.state).to eq("resolved_manually")
  end

  it "is told what a state does not allow" do
    task = run_task(one_step { 1 })
    expect { task.rerun(:only) }.to raise_error(TaskerCore::IllegalTransitionError)
    expect { task.rerun(:other) }.to raise_error(TaskerCore::NotFoundError, /other/)
  end
end

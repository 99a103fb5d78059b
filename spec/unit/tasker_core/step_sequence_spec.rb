# frozen_string_literal: true

RSpec.describe TaskerCore::StepSequence do
  subject(:sequence) { described_class.new(step_context(dependencies: { cart: { total: 5 }, stock: [1, 2] })) }

  it "has the results of the steps that the step depends on, by name" do
    expect(sequence.results).to eq(cart: { total: 5 }, stock: [1, 2])
    expect([sequence["cart"][:total], sequence[:stock]]).to eq([5, [1, 2]])
    expect(sequence.find_step_by_name("cart").results["total"]).to eq(5)
  end

  it "is those steps" do
    expect(sequence.steps.map { |step| [step.name, step.results] }).to eq([["cart", { total: 5 }], ["stock", [1, 2]]])
    expect(sequence.map(&:name)).to eq(%w[cart stock])
    expect(sequence.inspect).to eq("#<TaskerCore::StepSequence cart stock>")
    expect(sequence.first.inspect).not_to include("5")
  end

  it "says which there are when asked for another one" do
    expect { sequence.find_step_by_name("ship") }
      .to raise_error(TaskerCore::UnknownDependencyError, /does not depend on ship; its dependencies: cart, stock/)
  end
end

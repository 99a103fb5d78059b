# frozen_string_literal: true

RSpec.describe TaskerCore::StepHandler do
  it "says that call is missing, instead of succeeding with nothing" do
    stub_const("Forgetful", Class.new(described_class))
    expect { Forgetful.new.call(step_context) }.to raise_error(NotImplementedError, /Forgetful does not define call/)
  end
end

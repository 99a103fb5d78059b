# frozen_string_literal: true

RSpec.describe TaskerCore::Constants do
  it "has names that say whose they are" do
    prefixes = { "TaskEvents" => "task.", "StepEvents" => "step.", "WorkflowEvents" => "workflow." }
    prefixes.each do |group, prefix|
      inner = described_class.const_get(group)
      inner.constants.each { |name| expect(inner.const_get(name)).to eq("#{prefix}#{name.to_s.downcase}") }
    end
  end

  it "has those of observers in modules of their own" do
    expect(described_class::ObservabilityEvents::Task::ENQUEUE).to eq("task.enqueue")
    expect(described_class::ObservabilityEvents::Task::START).to eq("task.start")
    expect(described_class::ObservabilityEvents::Step::PROCESSING).to eq("step.processing")
  end

  it "has no name twice" do
    names = TaskerCore::Events::Notifications.lifecycle_names
    expect(names.size).to eq(24)
    expect(names.uniq).to eq(names)
  end
end

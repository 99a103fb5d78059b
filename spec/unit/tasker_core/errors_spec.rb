# frozen_string_literal: true

RSpec.describe "TaskerCore's errors" do
  it "lets a handler say when to retry" do
    error = TaskerCore::RetryableError.new("gateway busy", retry_after: 5, code: "BUSY")
    expect(error).to have_attributes(message: "gateway busy", retry_after: 5, code: "BUSY")
  end

  it "lets a handler give up, with a code" do
    expect(TaskerCore::PermanentError.new("no such card", code: "NO_CARD"))
      .to have_attributes(message: "no such card", code: "NO_CARD")
  end

  it "takes a validation error for a permanent one that names a field" do
    error = TaskerCore::ValidationError.new("must be positive", field: "amount")
    expect(error).to be_a(TaskerCore::PermanentError).and have_attributes(field: "amount", code: nil)
  end

  it "has one root, so that one rescue takes them all" do
    classes = TaskerCore.constants.map { |name| TaskerCore.const_get(name) }
                        .select { |constant| constant.is_a?(Class) && constant <= Exception }
    expect(classes).to all(satisfy { |constant| constant <= TaskerCore::Error })
  end

  it "has a class for every variant of the engine's error" do
    source = File.read(File.expand_path("../../../ext/tasker_core/src/errors.rs", __dir__))
    names = source.scan(/=> "(\w+Error)"/).flatten
    expect(names.size).to be >= 9
    expect(names).to all(satisfy { |name| TaskerCore.const_get(name) < TaskerCore::Error })
  end

  it "can be raised with no argument, as Ruby's own" do
    [TaskerCore::RetryableError, TaskerCore::PermanentError, TaskerCore::ValidationError,
     TaskerCore::SchemaViolationError, TaskerCore::BatchError].each do |error_class|
      expect { raise error_class }.to raise_error(error_class)
    end
  end
end

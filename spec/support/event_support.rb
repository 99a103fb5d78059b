# frozen_string_literal: true

require "securerandom"

# Step events as the extension makes them, for specs that need no engine.
module EventSupport
  # Takes the place of the bridge and remembers what was published.
  class RecordingBridge
    attr_reader :published, :failed

    def initialize
      @published = []
      @failed = []
    end

    def fail_step_event(*failure)
      @failed << failure
    end

    def publish_step_completion(payload)
      @published << payload
    end
  end

  def step_event(context: { order_id: 1 }, dependencies: {}, config: {}, **overrides)
    step = {
      namespace: "default", task_name: "order", step_name: "charge", handler: "charge", attempt: 1, max_attempts: 3,
      context: JSON.generate(context), config: JSON.generate(config)
    }
    step[:dependency_results] = dependencies.to_h { |name, value| [name.to_s, JSON.generate(value)] }
    event = { event_id: SecureRandom.uuid, task_uuid: SecureRandom.uuid, step_uuid: SecureRandom.uuid,
              correlation_id: SecureRandom.uuid, trace_id: "0af7651916cd43dd8448eb211c80319c",
              span_id: "b7ad6b7169203331" }
    overrides.each { |name, value| (step.key?(name) || name == :timeout_seconds ? step : event)[name] = value }
    event.merge(task_sequence_step: step)
  end

  def step_context(**overrides)
    TaskerCore::StepContext.new(step_event(**overrides))
  end
end

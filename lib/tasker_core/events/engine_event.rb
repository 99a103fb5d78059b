# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: reading what the engine says of a task or a step. It becomes an {Event} with the payload that
    # {EventPayloadBuilder} makes of the same event in a handler.
    # @api private
    module EngineEvent
      # How the engine calls what the payloads call otherwise.
      NAMES = { task_id: :task_uuid, step_id: :step_uuid, timestamp: :at }.freeze
      WORKFLOW_KEYS = %i[task_id step_id step_name task_name total_steps completed_steps failed_steps event_type
                         timestamp].freeze
      private_constant :NAMES, :WORKFLOW_KEYS

      class << self
        # @param item [JsonHash]
        # @return [Event]
        def read(item)
          name = item.fetch(:event)
          type = EventPayloadBuilder.event_type(name)
          payload = keys(name, item).to_h { |key| [key, key == :event_type ? type : item[NAMES.fetch(key, key)]] }
          payload.compact! if name.start_with?("workflow.")
          period = item.values_at(:started_at, :completed_at)
          Event.new(name, payload, source: :engine, context: context(item), period: (period if period.all?))
        end

        private

        def keys(name, item)
          return WORKFLOW_KEYS if name.start_with?("workflow.")
          return EventPayloadBuilder::TASK_KEYS if name.start_with?("task.")
          return EventPayloadBuilder::ERROR_KEYS if item[:error_class] || item[:error_message]

          EventPayloadBuilder::STEP_KEYS
        end

        def context(item)
          traceparent = item[:traceparent]
          traceparent ||= "00-#{item[:trace_id]}-#{item[:span_id]}-01" if item[:trace_id] && item[:span_id]
          traceparent && Telemetry::Context.new(traceparent, correlation_id: item[:correlation_id])
        end
      end
    end
  end
end

# frozen_string_literal: true

module TaskerCore
  module Events
    # Subscribers of {Publisher} that the library brings along.
    module Subscribers
      # Turns lifecycle events into spans, in the trace of the task that they are about. The engine records spans of its
      # own for every task and step, whether or not this is used: use it for spans with the names and attributes of
      # Tasker, and for the events that handlers publish.
      #
      #     TaskerCore::Events::Subscribers::TelemetrySubscriber.subscribe
      #
      # - an attempt's end (`step.completed`, `step.failed` of the engine): `tasker.step.processing`, as long as the
      #   attempt
      # - a task's end (`task.completed`, `task.failed`, `task.cancelled` of the engine): `tasker.task.started`, as long
      #   as the task, and `tasker.task.completed` (or `.failed`, `.cancelled`) at its end
      # - an event that the application published: a span without length, `tasker.` and the event's name
      class TelemetrySubscriber
        PREFIX = "tasker."
        STEP_ENDS = [Constants::StepEvents::COMPLETED, Constants::StepEvents::FAILED].freeze
        TASK_ENDS = [Constants::TaskEvents::COMPLETED, Constants::TaskEvents::FAILED,
                     Constants::TaskEvents::CANCELLED].freeze
        private_constant :STEP_ENDS, :TASK_ENDS

        # @param publisher [Publisher]
        # @return [TelemetrySubscriber] one that is subscribed
        def self.subscribe(publisher = Publisher.instance)
          new.subscribe(publisher)
        end

        # One that is not subscribed does nothing.
        def initialize
          @events = @spans = 0
          @subscription = nil
        end

        # @param publisher [Publisher]
        # @return [self]
        def subscribe(publisher = Publisher.instance)
          @subscription ||= publisher.subscribe(Pattern::EVERYTHING, self)
          self
        end

        # @return [Boolean] whether it was subscribed
        def unsubscribe
          was = @subscription
          @subscription = nil
          was ? was.unsubscribe : false
        end

        # @param event [Event]
        # @api private
        def call(event)
          @events += 1
          if event.source == :application then moment("#{PREFIX}#{event.name}", event)
          elsif STEP_ENDS.include?(event.name) then step(event)
          elsif TASK_ENDS.include?(event.name) then task(event)
          end
        end

        def inspect
          "#<#{self.class} #{@subscription ? 'subscribed' : 'not subscribed'} events=#{@events} spans=#{@spans}>"
        end

        private

        def step(event)
          from, to = limits(event)
          attributes = event.payload.slice(:task_id, :step_id, :attempt_number, :retry_limit)
          attributes.update(step: event[:step_name], execution_duration: (to - from) / 1_000_000.0)
          record("tasker.step.processing", event, attributes, from, to,
                 events: [["step.started", from, {}], [event.name, to, {}]])
        end

        def task(event)
          from, to = limits(event)
          record("tasker.task.started", event, { task_id: event[:task_id], task_name: event[:task_name] }, from, to)
          attributes = event.payload.slice(:task_id, :total_steps, :completed_steps, :failed_steps)
          record("#{PREFIX}#{event.name}", event, attributes.merge(completion_time: event[:completed_at]), to, to)
        end

        def moment(name, event)
          at = micros(event[:timestamp])
          record(name, event, event.payload.except(:backtrace, :error_message, :error_class), at, at)
        end

        def limits(event)
          (event.period || [event[:timestamp]] * 2).map { |time| micros(time) }
        end

        def micros(time)
          time = time ? Time.iso8601(time) : Time.now
          (time.to_r * 1_000_000).to_i
        end

        def record(name, event, attributes, from, to, events: [])
          @spans += 1
          error = "#{event[:error_class]}: #{event[:error_message]}" if event[:error_class]
          if error
            events += [["exception", to, { "exception.type": event[:error_class],
                                           "exception.message": Telemetry::Fields.error(event[:error_message].to_s),
                                           "exception.stacktrace": Array(event[:backtrace]).join("\n") }]]
          end
          Telemetry::Span.record(name, attributes.compact, from: from, to: to, events: events, error: error)
        end
      end
    end
  end
end

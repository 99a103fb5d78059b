# frozen_string_literal: true

require "English"

module TaskerCore
  # What a class includes to publish events: handlers, and anything else. Its methods are private.
  #
  #     class ChargePayment < TaskerCore::StepHandler
  #       include TaskerCore::EventPublisher
  #
  #       def call(step)
  #         receipt = Gateway.charge(step.input[:total], idempotency_key: step.step_uuid)
  #         publish_event("order.payment_processed", { order_id: step.input[:order_id], receipt: receipt.id })
  #         { receipt: receipt.id }
  #       end
  #     end
  #
  # `publish_event` publishes a **domain event**: something of the application's business, for others to act on. The
  # others publish **lifecycle events**, for observers in this process: see {Events::Publisher}.
  #
  # An error while publishing is the log line `Error publishing event NAME : …`, and the caller continues.
  module EventPublisher
    private

    # @!visibility public

    # Publishes a domain event. In a handler it is written in the transaction that completes the step: if the attempt
    # fails, there is no event. Outside of a handler, or with `immediate: true`, it is written before this returns.
    #
    # @param name [String] lower-case words with dots between them: "order.payment_processed"
    # @param payload [Hash] anything that JSON can represent, 256 KiB at most
    # @param delivery_mode [Symbol] :durable, to durable subscribers, at least once; :fast, to this process's
    #   {TaskerCore.on} blocks, after the commit, unless it is overloaded; :broadcast, both
    # @param immediate [Boolean] whether to write it now, also in a handler, where it survives a failing attempt and is
    #   written again by the next one
    # @param key [String, Integer, nil] events with the same key can be had in order
    # @param namespace [String, nil] default: the step's, otherwise "default"
    # @param raise_errors [Boolean] whether an error while publishing is raised rather than logged
    # @return [String, nil] the event's id, a UUID of version 7; nil if it could not be published
    def publish_event(name, payload = {}, raise_errors: false, **options)
      Events.publish(name, payload, **options)
    rescue StandardError => e
      raise if raise_errors

      Events.log_error(name, e)
    end

    # Publishes a lifecycle event about a step, with the payload that {EventPayloadBuilder} makes. For `event_type:
    # :failed` that is the error's; without `error:` the exception that is being rescued.
    #
    # @param event [String] one of {Constants::StepEvents}, or another name
    # @param step [StepContext, Task::Step] the handler's step, or one of `task.steps`
    # @param event_type [Symbol, String] default: the last word of the event's name
    # @param error [Exception, nil]
    # @param additional_context [Hash{Symbol => Object}] more keys of the payload
    # @return [nil]
    def publish_step_event(event, step, event_type: nil, error: $ERROR_INFO, additional_context: {})
      publish_lifecycle_event(event, event_type) do |type|
        if type == "failed"
          EventPayloadBuilder.build_error_payload(step, error, event_type: type, additional_context: additional_context)
        else
          EventPayloadBuilder.build_step_payload(step, event_type: type, additional_context: additional_context)
        end
      end
    end

    # Publishes {Constants::StepEvents::COMPLETED}.
    # @param step [StepContext, Task::Step]
    # @param additional_context [Hash{Symbol => Object}] more keys of the payload
    # @param more [Hash{Symbol => Object}] more of them
    # @return [nil]
    def publish_step_completed(step, additional_context: {}, **more)
      publish_step_event(Constants::StepEvents::COMPLETED, step, event_type: :completed,
                                                                 additional_context: additional_context.merge(more))
    end

    # Publishes {Constants::StepEvents::FAILED}.
    # @param step [StepContext, Task::Step]
    # @param error [Exception, nil] default: the exception that is being rescued
    # @param additional_context [Hash{Symbol => Object}] more keys of the payload
    # @param more [Hash{Symbol => Object}] more of them
    # @return [nil]
    def publish_step_failed(step, error: $ERROR_INFO, additional_context: {}, **more)
      publish_step_event(Constants::StepEvents::FAILED, step, event_type: :failed, error: error,
                                                              additional_context: additional_context.merge(more))
    end

    # Publishes a lifecycle event about a task. If somebody subscribed to it, the payload is read from the database.
    # @param event [String] one of {Constants::TaskEvents}, or another name
    # @param task [Task]
    # @param event_type [Symbol, String] default: the last word of the event's name
    # @param additional_context [Hash{Symbol => Object}] more keys of the payload
    # @return [nil]
    def publish_task_event(event, task, event_type: nil, additional_context: {})
      publish_lifecycle_event(event, event_type) do |type|
        EventPayloadBuilder.build_task_payload(task, event_type: type, additional_context: additional_context)
      end
    end

    # Publishes a lifecycle event about the orchestration of a task.
    # @param event [String] one of {Constants::WorkflowEvents}, or another name
    # @param task [Task, String, nil] the task, or its task_uuid; in a handler the default is its task
    # @param event_type [Symbol, String] default: the last word of the event's name
    # @param additional_context [Hash{Symbol => Object}] more keys of the payload
    # @return [nil]
    def publish_workflow_event(event, task = nil, event_type: nil, additional_context: {})
      publish_lifecycle_event(event, event_type) do |type|
        task = task.task_uuid if task.respond_to?(:task_uuid)
        EventPayloadBuilder.build_workflow_payload(task || Telemetry::Context.step&.task_uuid,
                                                   event_type: type, additional_context: additional_context)
      end
    end

    # @!visibility private

    # The payload is made only if somebody wants it.
    def publish_lifecycle_event(event, event_type)
      publisher = Events::Publisher.instance
      wanted = publisher.listening?(event)
      publisher.publish(event, wanted ? yield((event_type || EventPayloadBuilder.event_type(event)).to_s) : {})
    rescue StandardError => e
      Events.log_error(event, e)
    end
  end

  # The names by which Tasker knows what classes include.
  module Concerns
    EventPublisher = TaskerCore::EventPublisher
  end
end

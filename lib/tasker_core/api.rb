# frozen_string_literal: true

# The public API. The work is done in client.rb, task.rb, templates.rb and worker.rb.
module TaskerCore
  class << self
    # Changes the settings. Call it before the engine is used.
    # @yieldparam configuration [Configuration]
    # @return [Configuration]
    # @raise [ConfigurationError] the engine is open already
    def configure(&block)
      configuration(&block)
    end

    # @yieldparam configuration [Configuration] if a block is given: then it is the same as {configure}
    # @return [Configuration]
    def configuration
      yield engine.configuration if block_given?
      engine.configuration
    end

    # Submits a task. It is committed when this returns.
    #
    # @param name [String, Symbol] the template
    # @param context [Hash] what every step reads as `step.input`; anything that JSON can represent
    # @param options [Hash] `namespace:` (default "default"), `version:` of the template, `priority:` (higher
    #   first, default 0), `idempotency_key:` (a second submission returns the first one's task), `correlation_id:`,
    #   `parent_correlation_id:` (UUIDs; in a handler the default is its task's), `traceparent:` (W3C; the task joins
    #   that trace) or `rack_env:` (a request's, with its traceparent header); without either, the current span's trace.
    #   `run_at:` (Time, or seconds since the epoch)
    # @return [Task]
    # @raise [NotFoundError] no such template
    # @raise [SchemaViolationError] the context does not match the template's input_schema
    # @raise [InvalidInputError] another argument is wrong
    def submit(name, context = {}, **options)
      client.submit(name, context, **options)
    end

    # Submits many tasks in as few transactions as possible.
    # @param requests [Array<Hash>] each with `name:`, `context:` and the options of {submit}
    # @return [Array<Task>] in the same order
    # @raise [BatchError] some were refused: says which, and has the tasks of the others
    def submit_all(requests)
      client.submit_all(requests)
    end

    # @param task_uuid [String]
    # @return [Task]
    # @raise [NotFoundError] no such task
    # @raise [InvalidInputError] it is not a UUID
    def task(task_uuid)
      unless task_uuid.is_a?(String)
        raise InvalidInputError, "task: pass the task_uuid, a String, not #{task_uuid.inspect}"
      end

      Task.new(task_uuid).tap(&:state)
    end

    # Describes a template in Ruby; see {TemplateDsl}.
    # @param name [String, Symbol]
    # @param namespace [String, Symbol]
    # @raise [TemplateError]
    def template(name, namespace: "default", &block)
      document = TemplateDsl.document(name, namespace: namespace, &block)
      engine.add_template("template #{document[:name]}", JsonText.generate(document, "template"), "json")
    rescue JsonText::Unwritable => e
      raise TemplateError, e.message
    end

    # Adds a YAML template.
    # @param path [String] the file
    # @raise [TemplateError]
    def load_template(path)
      engine.add_template(path.to_s, Templates.read(path), "yaml")
    end

    # Updates the schema of the configured database, as `rake tasker:migrate` does, whatever `config.migrate` is. Does
    # nothing when the schema is current.
    # @return [Array(Integer, Integer)] the schema's version before and after
    # @raise [StoreError] it failed, and nothing was changed; the message says what would help
    def migrate
      Native.migrate(configuration.to_engine_json)
    end

    # @return [JsonHash] the state of this process's engine, worker and web server
    def status
      engine.open
      JsonText.parse(Native.status)
    end

    # @return [EventGroups] the event groups of the database: how far each has come, and its dead letters
    def event_groups
      EventGroups.new(engine)
    end

    # Stops the worker and the subscribers, if there are any, tells blocks of the events that wait, closes the engine.
    # The next use opens a new one.
    def shutdown
      Worker.stop
      EventSubscriber.stop
      Events.drain
      engine.close
    end

    # Publishes a domain event, as {EventPublisher#publish_event} does, but raises what is wrong.
    #
    # @param name [String] lower-case words with dots between them
    # @param payload [Hash] anything that JSON can represent
    # @param options [Hash] delivery_mode:, immediate:, key:, namespace:
    # @return [String] the event's id
    # @raise [InvalidInputError] the event cannot be published as it is
    # @raise [StoreError] the database refused it
    def publish_event(name, payload = {}, **options)
      Events.publish(name, payload, **options)
    end

    # Publishes many domain events now: the durable ones in one transaction.
    # @param requests [Array<Hash>] each with `name:`, `payload:` and the options of {publish_event}
    # @return [Array<String>] the events' ids, in the same order
    # @raise [InvalidInputError] one of them cannot be published: then none is
    def publish_events(requests)
      Events.publish_all(requests)
    end

    # Calls the block with the domain events of this process whose name matches: those with `delivery_mode: :fast` or
    # `:broadcast`, after their commit, in a thread of the library's own, one at a time. What the block raises is
    # logged.
    #
    #     subscription = TaskerCore.on("order.*") { |event| Dashboard.add(event.name, event.payload) }
    #     subscription.unsubscribe
    #
    # @param pattern [String] a name, or words with `*` for one word and `#` for any number of words
    # @param callable [#call] in place of a block
    # @yieldparam event [Events::DomainEvent]
    # @return [Events::Subscription]
    # @raise [InvalidInputError] the pattern is none
    def on(pattern, callable = nil, &block)
      Events.on(pattern, callable || block)
    end

    # @return [Logger] the log of this process: see {Logger}
    def logger
      @logger ||= Logger.new
    end

    # Runs the block inside a span of your own, and returns the block's value. The parent is the current span of this
    # fiber, otherwise the handler's. Without either, the span starts a trace. An exception is recorded on the span and
    # raised again.
    #
    #     TaskerCore.span("charge card", amount: 5) do |span|
    #       receipt = Gateway.charge(5)
    #       span.set(receipt: receipt.id)
    #     end
    #
    # @param name [String] use few different names, and put what varies into attributes
    # @param attributes [Hash{Symbol => Object}]
    # @yieldparam span [Telemetry::Span]
    # @return [Object] the block's value
    def span(name, **attributes, &block)
      Telemetry::Span.open(name, attributes, &block)
    end

    # @return [Telemetry::Context, nil] the current span's context, to pass to a thread or a fiber
    def context
      Telemetry::Context.current
    end

    # Runs the block in this thread and fiber inside a context that comes from another one.
    # @param context [Telemetry::Context, String, nil] as {context} gives it, or a W3C traceparent
    def with_context(context, &block)
      context = Telemetry::Context.parse(context) if context.is_a?(String)
      Telemetry::Context.with(context, &block)
    end

    # @return [String, nil] the current span's W3C traceparent, for a call to another service
    def traceparent
      context&.traceparent
    end

    # An instrument that counts: `TaskerCore.counter("orders.placed").add(1, country: "de")`.
    # @param name [String]
    # @param description [String, nil] one sentence: `# HELP` on /metrics, and the description in OTLP
    # @param unit [String, nil] in UCUM: "ms", "By", "{order}"; a known unit ends the name on /metrics:
    #   see docs/guide/observability.md
    # @return [Telemetry::Counter] the same object for the same name, with the description and unit it was first given
    # @raise [InvalidInputError]
    def counter(name, description: nil, unit: nil)
      Telemetry::Instruments.fetch(Telemetry::Counter, name, description: description, unit: unit)
    end

    # An instrument for distributions: `TaskerCore.histogram("order.value").record(12.5)`.
    # @see counter
    # @return [Telemetry::Histogram]
    def histogram(name, description: nil, unit: nil)
      Telemetry::Instruments.fetch(Telemetry::Histogram, name, description: description, unit: unit)
    end

    # An instrument for current values: `TaskerCore.gauge("carts.open").set(7)`.
    # @see counter
    # @return [Telemetry::Gauge]
    def gauge(name, description: nil, unit: nil)
      Telemetry::Instruments.fetch(Telemetry::Gauge, name, description: description, unit: unit)
    end

    private

    def client
      @client ||= Client.new(engine)
    end
  end
end

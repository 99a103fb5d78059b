# frozen_string_literal: true

# The public API at a glance. What is described here is done in client.rb, task.rb, templates.rb, worker.rb.
module TaskerCore
  class << self
    # Changes the settings; before the engine is used.
    # @yieldparam configuration [Configuration]
    # @return [Configuration]
    # @raise [ConfigurationError] the engine is open already
    def configure
      yield configuration if block_given?
      configuration
    end

    # @return [Configuration]
    def configuration
      engine.configuration
    end

    # Submits a task; it is in the store when this returns.
    #
    # @param name [String, Symbol] the template
    # @param context [Hash] what every step reads as `step.input`; anything JSON can say
    # @param options [Hash] `namespace:` (default "default"), `version:` of the template, `priority:` (higher
    #   first, default 0), `idempotency_key:` (a second submission finds the first's task), `correlation_id:`,
    #   `parent_correlation_id:` (UUIDs; in a handler that of its own task), `traceparent:` (W3C; the task joins that
    #   trace) or `rack_env:` (a request's, with its traceparent header); without either, the current span's trace.
    #   `run_at:` (Time, or seconds since the epoch)
    # @return [Task]
    # @raise [NotFoundError] no such template
    # @raise [SchemaViolationError] the context does not fit the template's input_schema
    # @raise [InvalidInputError] anything else is wrong with the request
    def submit(name, context = {}, **options)
      client.submit(name, context, **options)
    end

    # Submits many tasks in as few transactions as possible.
    # @param requests [Array<Hash>] each with `name:`, `context:` and the options of {submit}
    # @return [Array<Task>] in the same order
    # @raise [BatchError] some were refused; it says which, and has the tasks of the others
    def submit_all(requests)
      client.submit_all(requests)
    end

    # @param task_uuid [String]
    # @return [Task]
    # @raise [NotFoundError] no such task
    # @raise [InvalidInputError] that is no UUID
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

    # Brings the schema of the configured database up to date, whatever `config.migrate` says: what
    # `rake tasker:migrate` does. Harmless when there is nothing to do.
    # @return [Array(Integer, Integer)] the schema's version before and after
    # @raise [StoreError] it could not be done, and nothing was changed; says what would help
    def migrate
      Native.migrate(configuration.to_engine_json)
    end

    # @return [JsonHash] what the engine says about itself
    def status
      engine.open
      JsonText.parse(Native.status)
    end

    # Stops the worker if there is one and closes the engine. The next use opens a new one.
    def shutdown
      Worker.stop
      engine.close
    end

    # @return [Logger] the log of this process: see {Logger}
    def logger
      @logger ||= Logger.new
    end

    # Runs the block inside a span of the application's own, and gives what the block gives. Its parent is the
    # current span of this fiber, else the handler's; without either it begins a trace. An exception is noted and
    # goes on.
    #
    #     TaskerCore.span("charge card", amount: 5) do |span|
    #       receipt = Gateway.charge(5)
    #       span.set(receipt: receipt.id)
    #     end
    #
    # @param name [String] few different ones: what varies belongs into the attributes
    # @param attributes [Hash{Symbol => Object}]
    # @yieldparam span [Telemetry::Span]
    # @return [Object] the block's value
    def span(name, **attributes, &block)
      Telemetry::Span.open(name, attributes, &block)
    end

    # @return [Telemetry::Context, nil] the current span's: to be handed to a thread or a fiber
    def context
      Telemetry::Context.current
    end

    # Runs the block, in this thread and fiber, inside a context that another one handed over.
    # @param context [Telemetry::Context, String, nil] as {context} gives it, or a W3C traceparent
    def with_context(context, &block)
      context = Telemetry::Context.parse(context) if context.is_a?(String)
      Telemetry::Context.with(context, &block)
    end

    # @return [String, nil] the current span's W3C traceparent: what a call to another service carries
    def traceparent
      context&.traceparent
    end

    # An instrument that counts: `TaskerCore.counter("orders.placed").add(1, country: "de")`.
    # @param name [String]
    # @param description [String, nil] one sentence: `# HELP` on /metrics, and the description in OTLP
    # @param unit [String, nil] of the Unified Code for Units of Measure: "ms", "By", "{order}"; ends the name on
    #   /metrics when it is a known one: see docs/guide/observability.md
    # @return [Telemetry::Counter] the same one for the same name, with what it was first given
    # @raise [InvalidInputError]
    def counter(name, description: nil, unit: nil)
      Telemetry::Instruments.fetch(Telemetry::Counter, name, description: description, unit: unit)
    end

    # An instrument that measures a spread: `TaskerCore.histogram("order.value").record(12.5)`.
    # @see counter
    # @return [Telemetry::Histogram]
    def histogram(name, description: nil, unit: nil)
      Telemetry::Instruments.fetch(Telemetry::Histogram, name, description: description, unit: unit)
    end

    # An instrument that says how much there is now: `TaskerCore.gauge("carts.open").set(7)`.
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

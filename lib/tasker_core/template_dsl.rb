# frozen_string_literal: true

module TaskerCore
  # Describes a template in Ruby. The result is the same document as that of a YAML file.
  #
  #     TaskerCore.template "order_fulfillment", namespace: "orders" do
  #       version "1.1.0"
  #       description "Takes a cart, charges the card, ships."
  #       input_schema type: "object", required: ["order_id"]
  #
  #       step :fetch_cart, handler: FetchCart
  #       step :charge, handler: "ChargeCard", depends_on: :fetch_cart, timeout: 30,
  #                     retry: { max_attempts: 5, backoff: :exponential, base: 0.5, cap: 30, jitter: 0.1 }
  #     end
  class TemplateDsl
    OPTIONS = %i[retry publishes publishes_events].freeze
    private_constant :OPTIONS

    # @param name [String, Symbol]
    # @param namespace [String, Symbol]
    # @yield evaluated in the DSL
    # @return [Hash] the document
    def self.document(name, namespace: "default", &block)
      raise TemplateError, "template #{name}: give it a block with its steps" unless block

      new(name, namespace).tap { |dsl| dsl.instance_eval(&block) }.document
    end

    # @return [Hash] the document
    attr_reader :document

    def initialize(name, namespace)
      @document = { name: name.to_s, namespace: namespace.to_s, steps: [] }
    end

    # @param text [String] the template's version; tasks keep the version they were submitted with
    def version(text)
      @document[:version] = text.to_s
    end

    # @param text [String] a sentence for people
    def description(text)
      @document[:description] = text.to_s
    end

    # @param schema [Hash] JSON Schema for the context
    def input_schema(schema)
      @document[:input_schema] = schema
    end

    # @param name [String, Symbol] the step's name
    # @param handler [Class, String] the handler's class, its name, or a key of `config.handlers`
    # @param depends_on [String, Symbol, Array] steps that must complete first
    # @param config [Hash] what the handler reads as `step.config`
    # @param timeout [Numeric, nil] how long an attempt may take, in seconds
    # @param options [Hash] `retry:` max_attempts, backoff (:none, :linear, :exponential, :fibonacci),
    #   base, cap (seconds), jitter (0..1); `publishes:` (or `publishes_events:`) the domain events that the step
    #   publishes: names, or Hashes with name, description, condition, delivery_mode, schema, publisher (a class, or
    #   its name), key
    def step(name, handler:, depends_on: [], config: nil, timeout: nil, **options)
      unknown = options.keys - OPTIONS
      unless unknown.empty?
        raise TemplateError, "#{place(name)}: unknown option #{unknown.join(', ')}; " \
                             "known options: handler, depends_on, config, timeout, #{OPTIONS.join(', ')}"
      end

      step = { name: name.to_s, handler: handler_name(name, handler), dependencies: Array(depends_on).map(&:to_s) }
      step[:config] = config if config
      step[:timeout_seconds] = timeout if timeout
      step[:retry] = options[:retry] if options[:retry]
      events = declarations(name, options.values_at(:publishes, :publishes_events).compact)
      step[:publishes_events] = events unless events.empty?
      @document[:steps] << step
    end

    private

    def handler_name(step, handler)
      return handler.to_s unless handler.is_a?(Module)

      handler.name or raise TemplateError, "#{place(step)}: the handler class has no name; assign it to a constant, " \
                                           "or map a name to it"
    end

    def declarations(step, lists)
      lists.flat_map { |list| list.is_a?(Hash) ? [list] : Array(list) }.map do |event|
        next { name: event.to_s } if event.is_a?(String) || event.is_a?(Symbol)
        unless event.is_a?(Hash)
          raise TemplateError, "#{place(step)}: publishes: give names or Hashes, not #{event.inspect}"
        end

        event = event.transform_keys(&:to_sym)
        event[:publisher] = publisher_name(step, event[:publisher]) if event[:publisher]
        event
      end
    end

    def publisher_name(step, publisher)
      return publisher.to_s unless publisher.is_a?(Module)

      publisher.name or raise TemplateError, "#{place(step)}: the publisher class has no name; assign it to a constant"
    end

    def place(step)
      "template #{@document[:name]}, step #{step}"
    end
  end
end

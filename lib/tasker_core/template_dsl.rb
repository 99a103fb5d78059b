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
    #   base, cap (seconds), jitter (0..1)
    def step(name, handler:, depends_on: [], config: nil, timeout: nil, **options)
      unknown = options.keys - [:retry]
      unless unknown.empty?
        raise TemplateError, "template #{@document[:name]}, step #{name}: unknown option #{unknown.join(', ')}; " \
                             "known options: handler, depends_on, config, timeout, retry"
      end

      step = { name: name.to_s, handler: handler_name(name, handler), dependencies: Array(depends_on).map(&:to_s) }
      step[:config] = config if config
      step[:timeout_seconds] = timeout if timeout
      step[:retry] = options[:retry] if options[:retry]
      @document[:steps] << step
    end

    private

    def handler_name(step, handler)
      return handler.to_s unless handler.is_a?(Module)

      handler.name or raise TemplateError, "template #{@document[:name]}, step #{step}: the handler class has no " \
                                           "name; assign it to a constant, or map a name to it"
    end
  end
end

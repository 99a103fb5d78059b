# frozen_string_literal: true

module TaskerCore
  # Finds the handler that a template names: the one registered under that name, otherwise the constant of that name.
  # A class gets a new instance for each attempt; any other object is used as it is. A handler has `call(step)`, or
  # `handle(task, sequence, step)`; if it has both, `call` is called.
  class HandlerRegistry
    CONSTANT = /\A(?:::)?[A-Z]\w*(?:::[A-Z]\w*)*\z/
    private_constant :CONSTANT

    # @param handlers [Hash{String, Symbol => Class, #call, #handle, String}]
    def initialize(handlers = {})
      @lock = Mutex.new
      @registered = {}
      @found = {}
      handlers.each { |name, handler| register(name, handler) }
    end

    # @param name [String, Symbol] the name templates use
    # @param handler [Class, #call, #handle, String] a class, an object with one of these methods, or a class's name
    def register(name, handler)
      @lock.synchronize do
        @registered = @registered.merge(name.to_s => handler).freeze
        @found = {}
      end
    end

    # Forgets the handlers that were found, so that a reloaded class is looked up again.
    def reset
      @lock.synchronize { @found = {} }
    end

    # @param name [String]
    # @return [#call] ready to run one step
    # @raise [HandlerNotFoundError] lists everything that was tried
    def resolve(name)
      found = @found[name] || find(name)
      found.is_a?(Class) ? found.new : found
    end

    private

    # Readers take no lock: the Hash they read is replaced, never changed.
    def find(name)
      handler = look_up(name)
      @lock.synchronize { @found = @found.merge(name => handler).freeze }
      handler
    end

    def look_up(name)
      registered = @registered[name]
      return check(name, registered) if registered && !registered.is_a?(String)

      constant_name = registered || name
      constant = constant(constant_name)
      return check(name, constant) unless constant.is_a?(Exception)

      raise HandlerNotFoundError, not_found(name, registered, constant_name, constant)
    end

    # Loading the constant may run an application's files, so anything may be raised here.
    def constant(name)
      return NameError.new("not the name of a class") unless name.match?(CONSTANT)

      Object.const_get(name)
    rescue NameError, ScriptError => e
      e
    end

    def check(name, handler)
      return handler if handler.is_a?(Class) ? defines_call?(handler) : handler.respond_to?(:call)
      return HandleAdapter.new(handler) if HandleAdapter.fits?(handler)

      raise HandlerNotFoundError, "handler #{name.inspect}: #{handler.inspect} does not define call(step) or " \
                                  "handle(task, sequence, step)"
    end

    def defines_call?(handler)
      handler.method_defined?(:call) && handler.instance_method(:call).owner != StepHandler
    end

    def not_found(name, registered, constant_name, reason)
      known = @registered.keys
      tried = registered ? "it is registered as #{registered.inspect}" : "it is not registered"
      "no handler #{name.inspect}: #{tried} (registered: #{known.empty? ? 'none' : known.sort.join(', ')}), and " \
        "Object.const_get(#{constant_name.inspect}) raised #{reason.class}: #{reason.message}. Define the class, or " \
        "map the name: TaskerCore.configure { |config| config.handlers = { #{name.inspect} => YourHandler } }"
    end
  end
end

# frozen_string_literal: true

module TaskerCore
  # Owns: opening this process's engine once, on first use, with its settings and templates, and closing it. A process
  # that only submits has no more than this: no worker, and no Tokio runtime unless it exports telemetry.
  class Engine
    attr_reader :templates

    def initialize
      @lock = Monitor.new
      @templates = Templates.new
      @configuration = nil
      @at_exit_pid = nil
    end

    # @return [Configuration]
    def configuration
      @configuration || @lock.synchronize { @configuration ||= Configuration.new }
    end

    # Opens the engine if it is not open in this process.
    def open
      return if Native.open?

      @lock.synchronize do
        next if Native.open?

        close_at_exit
        Telemetry.arm!
        Native.open(configuration.to_engine_json)
        configuration.in_use = true
        give_templates
      end
      Events.refresh
    end

    # Adds a template, now and to every engine this process opens.
    def add_template(source, text, format)
      document = @templates.add(source, text, format)
      Native.register_template(source, document) if Native.open?
    end

    # Closes the engine; the next use opens a new one. Settings may change in between.
    def close
      @lock.synchronize do
        Native.close(Telemetry.closing_timeout)
        Events.bus.closed
        configuration.in_use = false
      end
    end

    # The child of a fork has no engine yet.
    def after_fork_child
      @configuration.in_use = false if @configuration
    end

    # Leaves out templates and settings, which may contain secrets.
    def inspect
      "#<#{self.class} #{'open' if Native.open?}>"
    end

    private

    def give_templates
      @templates.load_paths(configuration.template_paths)
      @templates.each { |source, document| Native.register_template(source, document) }
    rescue StandardError
      close
      raise
    end

    # Once per process: in a child that inherited the parent's at_exit block the pid differs.
    def close_at_exit
      return if @at_exit_pid == Process.pid

      pid = @at_exit_pid = Process.pid
      at_exit { TaskerCore.shutdown if Process.pid == pid }
    end
  end

  @engine = Engine.new

  class << self
    # @api private
    attr_reader :engine
  end
end

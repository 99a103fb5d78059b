# frozen_string_literal: true

require "logger"

module TaskerCore
  # The log of this process, returned by {TaskerCore.logger}. It is a subclass of the standard library's Logger, and
  # can be `Rails.logger`. It writes through the engine's logger: to the console (text, or JSON with LOG_FORMAT=json)
  # and, when telemetry is on, to OTLP logs. Keywords are fields, as many as you like:
  #
  #     TaskerCore.logger.info("charged", amount: 5, currency: "EUR")
  #
  # A line carries the ids of the span it is written in and the correlation id of its task. Fields are masked (see
  # {Telemetry::Filter}), messages are not. A line below the level costs one comparison. The level comes from RUST_LOG
  # or LOG_LEVEL, until you set it.
  #
  # Refuses: log files, devices and formatters. A formatter may be set, as libraries do, but is not called.
  class Logger < ::Logger
    LEVEL = :tasker_core_log_level
    TAGS = :tasker_core_log_tags
    NO_TAGS = [].freeze
    private_constant :LEVEL, :TAGS, :NO_TAGS

    def initialize(progname: nil)
      super(nil, progname: progname)
      @local = false # whether a fiber ever had a level of its own
      @own_tags = NO_TAGS
      @level = Native.log_level
      @chosen = false
    end

    # @!method debug(message = nil, **fields)
    #   @param message [Object] or a block that returns it, called only when the line is written; with a block, this
    #     argument is the progname
    #   @param fields [Hash{Symbol => Object}]
    #   @return [true]
    # @!method info(message = nil, **fields)
    # @!method warn(message = nil, **fields)
    # @!method error(message = nil, **fields)
    # @!method fatal(message = nil, **fields)
    # @!method unknown(message = nil, **fields)
    { debug: DEBUG, info: INFO, warn: WARN, error: ERROR, fatal: FATAL, unknown: UNKNOWN }.each do |name, severity|
      class_eval <<~RUBY, __FILE__, __LINE__ + 1
        def #{name}(message = nil, **fields, &block)
          return true if level > #{severity}

          write(#{severity}, nil, message, fields, &block)
        end
      RUBY
    end

    # @param severity [Integer, nil]
    # @param message [Object] or a block, or the progname
    # @param progname [String, nil]
    # @return [true]
    def add(severity, message = nil, progname = nil, **fields, &block)
      severity ||= UNKNOWN
      return true if level > severity

      message.nil? ? write(severity, nil, progname, fields, &block) : write(severity, message, progname, fields)
    end
    alias log add

    # Writes a line at the level info.
    # @param message [#to_s]
    # @return [self]
    def <<(message)
      write(INFO, message.to_s.chomp, nil, {}) unless level > INFO
      self
    end

    # @return [Integer] the lowest severity that is written in this fiber
    def level
      @local ? Thread.current[LEVEL] || @level : @level
    end

    # @param severity [Integer, Symbol, String]
    def level=(severity)
      super
      @chosen = true
    end

    # @return [Integer, nil] this fiber's own level. Rails 7.1 and later silences the loggers of `Rails.logger` by it.
    def local_level
      Thread.current[LEVEL]
    end

    # @param severity [Integer, Symbol, nil]
    def local_level=(severity)
      severity = Severity.const_get(severity.upcase) if severity.is_a?(Symbol)
      unless severity.nil? || severity.is_a?(Integer)
        raise ArgumentError, "local_level is a severity such as Logger::ERROR or :error or nil, not #{severity.inspect}"
      end

      @local = true
      Thread.current[LEVEL] = severity
    end

    # Writes only lines of at least this severity while the block runs, in this fiber.
    # @param severity [Integer, Symbol]
    def silence(severity = ERROR)
      outer = local_level
      self.local_level = severity
      yield self
    ensure
      Thread.current[LEVEL] = outer
    end

    # Adds tags to the lines that the block writes, in this fiber. Without a block, returns a logger that has them.
    # @param tags [Array<String>]
    def tagged(*tags)
      tags = clean(tags)
      return clone.tap { |logger| logger.own_tags = @own_tags + tags } unless block_given?

      outer = Thread.current[TAGS]
      Thread.current[TAGS] = (outer || NO_TAGS) + tags
      begin
        yield self
      ensure
        Thread.current[TAGS] = outer
      end
    end

    # @param tags [Array<String>]
    # @return [Array<String>] the tags that were added, in this fiber
    def push_tags(*tags)
      clean(tags).tap { |more| Thread.current[TAGS] = (Thread.current[TAGS] || NO_TAGS) + more }
    end

    # @param count [Integer]
    # @return [Array<String>] the tags that were removed
    def pop_tags(count = 1)
      tags = Thread.current[TAGS] || NO_TAGS
      Thread.current[TAGS] = tags[0...-count] if count.positive?
      tags.last(count)
    end

    # Removes all tags of this fiber.
    def clear_tags!
      Thread.current[TAGS] = nil
    end
    alias flush clear_tags!

    # @return [Array<String>] the tags of lines written in this fiber now
    def current_tags
      theirs = formatter.respond_to?(:current_tags) ? formatter.current_tags : NO_TAGS
      own = Thread.current[TAGS] || NO_TAGS
      @own_tags.empty? && theirs.empty? ? own : @own_tags + theirs + own
    end

    # Reads the level from the environment and the settings again, unless `level=` was called.
    # @api private
    def follow_settings
      @level = Native.log_level unless @chosen
    end

    def inspect
      "#<#{self.class} level=#{level}>"
    end

    protected

    attr_writer :own_tags

    private

    def clean(tags)
      tags.flatten.map { |tag| Telemetry::Fields.text(tag) }.reject { |tag| tag.strip.empty? }
    end

    # Without a message, the block's value is the message; without a block, the progname is.
    def write(severity, message, progname, fields)
      if message.nil?
        message, progname = block_given? ? [yield, progname] : [progname, nil]
      end
      send_line(severity, message, progname, fields)
    end

    def send_line(severity, message, progname, fields)
      Telemetry.arm unless Native.telemetry_ready?
      context = Telemetry::Context.current
      Native.log(severity, Telemetry::Fields.message(message), plain(message, fields, progname || self.progname),
                 context&.traceparent, context&.correlation_id)
      true
    rescue StandardError => e
      Native.log(ERROR, "a log line could not be written: #{Worker::Failure.text(e.class, 1024)}", nil, nil, nil)
      true
    end

    def plain(message, fields, progname)
      plain = fields.empty? ? {} : Telemetry::Fields.plain(fields)
      if message.is_a?(Exception)
        failure = Worker::Failure.describe(message)
        plain[:"exception.type"] = failure[:class]
        plain[:"exception.stacktrace"] = failure[:backtrace].join("\n")
      end
      tags = current_tags
      plain[:tags] = [JSON.generate(tags)] unless tags.empty?
      plain[:progname] = Telemetry::Fields.text(progname) if progname
      plain unless plain.empty?
    end
  end
end

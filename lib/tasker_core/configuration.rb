# frozen_string_literal: true

require_relative "configuration/tasker_names"

module TaskerCore
  # The settings of this process. They are read when the engine opens: at the first submission or query, or when a
  # worker starts. Changing a setting after that raises {ConfigurationError}.
  #
  #     TaskerCore.configure do |config|
  #       config.database = "storage/tasker.sqlite3"
  #       config.concurrency = 5
  #       config.handlers = { "charge_card" => ChargeCard }
  #     end
  class Configuration
    include TaskerNames

    SETTINGS = %i[
      database synchronous durability busy_timeout migrate pool_size statement_timeout concurrency namespaces
      lease_seconds shutdown_timeout poll_interval retention_days template_paths handlers max_result_bytes telemetry
      web filter_parameters filter_mask mask_stored_errors log_payloads
    ].freeze
    WORKER_SETTINGS = %i[concurrency namespaces lease_seconds shutdown_timeout poll_interval retention_days].freeze

    # 8 MiB: a result is kept in the database and travels to every step that depends on it.
    MAX_RESULT_BYTES = 8 * 1024 * 1024
    DURABILITIES = %w[step task].freeze

    # @!attribute [rw] database
    #   @return [String] a SQLite file, ":memory:", or a postgres:// URL, as libpq reads them (sslmode, sslrootcert,
    #     application_name, …) and with `pgbouncer=true` behind a pooler in transaction mode. Default:
    #     TASKER_DATABASE, otherwise DATABASE_URL if it begins with postgres or sqlite:, otherwise
    #     "storage/tasker.sqlite3"
    # @!attribute [rw] synchronous
    #   @return [String, Symbol] SQLite: :full survives power loss, :normal only a crash of the process
    # @!attribute [rw] durability
    #   @return [String, Symbol] PostgreSQL: which commits the server has on its disk before the engine continues.
    #     :step, all except those that only claim steps; :task, submissions, operators' changes and the ends of tasks.
    #     If the *server* crashes with :task, steps that finished in about the last 0.6 s run again. A crash of a
    #     worker costs the same with both. Behind a pooler (`pgbouncer=true`) always :step
    # @!attribute [rw] busy_timeout
    #   @return [Float] SQLite: how long to wait for another process that writes, in seconds
    # @!attribute [rw] migrate
    #   @return [Boolean] PostgreSQL: whether the first process updates the schema; if false, an old schema raises
    #     {StoreError} until you run `rake tasker:migrate` or {TaskerCore.migrate}
    # @!attribute [rw] pool_size
    #   @return [Integer] PostgreSQL: the most connections this process reads with; one more writes, and one listens
    # @!attribute [rw] statement_timeout
    #   @return [Float] PostgreSQL: how long a statement may run before the server ends it, in seconds
    # @!attribute [rw] concurrency
    #   @return [Integer] handler threads
    # @!attribute [rw] namespaces
    #   @return [Array<String>] the namespaces whose steps the worker claims; empty for all
    # @!attribute [rw] lease_seconds
    #   @return [Float] how long claims last unless the worker renews its lease, in seconds
    # @!attribute [rw] shutdown_timeout
    #   @return [Float] how long a stop waits for handlers, in seconds
    # @!attribute [rw] poll_interval
    #   @return [Float] how often an idle worker polls for other processes' work, in seconds. Where it is notified, at
    #     least 0.25 (SQLite on Linux) or 1 (PostgreSQL); on PostgreSQL without notifications at least 0.1
    # @!attribute [rw] retention_days
    #   @return [Float] days to keep finished tasks, with everything that belongs to them and their idempotency keys;
    #     0 keeps them forever
    # @!attribute [rw] template_paths
    #   @return [Array<String>] files, folders or globs of YAML templates
    # @!attribute [rw] handlers
    #   @return [Hash{String => Class, #call, String}] handlers by the name the templates use
    # @!attribute [rw] max_result_bytes
    #   @return [Integer] the largest result a step may return, as JSON
    # @!attribute [rw] telemetry
    #   @return [Hash] overrides for the environment: enabled, endpoint, protocol, headers (Hash or text),
    #     timeout_ms, service_name, service_version, environment, resource_attributes (Hash or text), sampler,
    #     sampler_arg, trace_sample and step_sample (Hash or text: shares by namespace), log_level
    # @!attribute [rw] web
    #   @return [Hash] the worker's web server: `enabled:` (default true), `bind:` (an IP address, default 127.0.0.1;
    #     another interface than loopback needs a token), `port:` (default 8081; 0 for any free port), `token:` (callers
    #     must send it as a bearer token). Missing keys come from TASKER_WEB_ENABLED, _BIND, _PORT and _TOKEN. A process
    #     that only submits has no web server
    # @!attribute [rw] filter_parameters
    #   @return [Array<String, Symbol, Regexp, Proc>] keys whose values are masked in logs, spans and metrics, in
    #     addition to the library's own list and, in Rails, `config.filter_parameters`; see {Telemetry::Filter}
    # @!attribute [rw] filter_mask
    #   @return [String] the text shown instead of a masked value
    # @!attribute [rw] mask_stored_errors
    #   @return [Boolean] whether the messages of exceptions are masked in the store too. Default: false, so
    #     `task.error` has the handler's own words, and only logs and spans are masked
    # @!attribute [rw] log_payloads
    #   @return [Boolean] whether a step's input and result are logged, at debug level and masked
    SETTINGS.each do |name|
      define_method(name) { @settings.fetch(name) }
      define_method(:"#{name}=") do |value|
        refuse_late(name)
        check(name, value)
        @absolute = nil if name == :database
        @settings[name] = value
      end
    end

    # @param env [#values_at] where the database is looked up
    def initialize(env = ENV)
      @in_use = false
      @absolute = nil
      @service = {}.freeze
      @settings = {
        database: default_database(env), synchronous: "full", durability: "step", busy_timeout: 10.0,
        migrate: true, pool_size: 5, statement_timeout: 30.0, concurrency: 10, namespaces: [], lease_seconds: 30.0,
        shutdown_timeout: 25.0, poll_interval: 0.01, retention_days: 30,
        template_paths: ["config/tasker/templates/**/*.{yml,yaml}"], handlers: {}, max_result_bytes: MAX_RESULT_BYTES,
        telemetry: {}, web: {}, filter_parameters: [], filter_mask: "[FILTERED]", mask_stored_errors: false,
        log_payloads: false
      }
    end

    # @return [Boolean] whether the engine is open with these settings
    def in_use?
      @in_use
    end

    # @api private
    attr_writer :in_use

    # The engine's configuration document.
    # @param overrides [Hash] worker settings that take precedence over these
    # @return [String] JSON
    def to_engine_json(**overrides)
      unknown = overrides.keys - WORKER_SETTINGS
      unless unknown.empty?
        raise ConfigurationError, "unknown worker settings: #{unknown.join(', ')}; " \
                                  "known settings: #{WORKER_SETTINGS.join(', ')}"
      end

      overrides.each { |name, value| check(name, value) }
      worker = @settings.slice(*WORKER_SETTINGS).merge(overrides)
      worker[:namespaces] = Array(worker[:namespaces]).map(&:to_s)
      JSON.generate(**@settings.slice(:busy_timeout, :migrate, :pool_size, :statement_timeout, :web),
                    database: absolute, synchronous: synchronous.to_s, durability: durability.to_s, worker: worker)
    rescue JSON::JSONError => e
      raise ConfigurationError, "a setting is not UTF-8, or not a finite number: #{e.message.scrub}"
    end

    # Leaves out telemetry's headers and the database's password.
    def inspect
      shown = @settings.except(:telemetry, :handlers, :web).merge(database: shown_database)
      "#<#{self.class} #{Telemetry::Fields.filter(shown)}>"
    end

    private

    def refuse_late(name)
      return unless @in_use

      raise ConfigurationError, "#{name} cannot change while the engine is open: call TaskerCore.configure " \
                                "before the first submission, or TaskerCore.shutdown first"
    end

    # Checks that the engine cannot make, or makes too late: what the setting must be, and whether a value is that.
    CHECKS = {
      durability: [":step or :task", ->(value) { DURABILITIES.include?(value.to_s) }],
      mask_stored_errors: ["true or false", ->(value) { [true, false].include?(value) }],
      max_result_bytes: ["a number of bytes above 0", ->(value) { value.is_a?(Integer) && value.positive? }],
      namespaces: ["an Array of names", ->(value) { names?(value) }],
      handlers: ["a Hash of handlers by name", ->(value) { value.is_a?(Hash) }],
      telemetry: ["a Hash of settings", ->(value) { value.nil? || value.is_a?(Hash) }],
      web: ["a Hash of settings", ->(value) { value.nil? || value.is_a?(Hash) }]
    }.freeze
    private_constant :CHECKS

    def check(name, value)
      wanted, fits = CHECKS[name]
      return if wanted.nil? || fits.call(value)

      raise ConfigurationError, "#{name} must be #{wanted}, not #{value.inspect}"
    end

    def self.names?(value)
      Array(value).all? { |name| (name.is_a?(String) || name.is_a?(Symbol)) && !name.empty? }
    end
    private_class_method :names?

    # A relative path keeps its first meaning, since Process.daemon changes the folder. Kept until another one is set.
    def absolute
      @absolute ||= make_absolute(database.to_s)
    end

    def make_absolute(name)
      return name if !name.valid_encoding? || name.include?("\0")

      scheme = name[%r{\A(?:sqlite:(?://)?)?}i]
      path = name.delete_prefix(scheme)
      as_it_is = path.strip.empty? || path == ":memory:" || path.start_with?("/") || path.include?("://")
      as_it_is ? name : scheme + File.absolute_path(path)
    end

    def shown_database
      database.to_s.sub(%r{(//[^:/@]*):.*@}, '\1@').gsub(/([?&]password=)[^&]*/, '\1')
    end

    def default_database(env)
      own, url = env.values_at("TASKER_DATABASE", "DATABASE_URL").map(&:to_s)
      return own unless own.empty?

      url.match?(/\A(?:postgres|sqlite:)/i) ? url : "storage/tasker.sqlite3"
    end
  end
end

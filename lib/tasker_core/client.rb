# frozen_string_literal: true

module TaskerCore
  # Owns: turning arguments into requests, and their answers into {Task}s.
  class Client
    OPTIONS = %i[
      namespace version priority idempotency_key correlation_id parent_correlation_id traceparent rack_env run_at
    ].freeze

    # Longer than any traceparent of W3C Trace Context.
    MAX_TRACEPARENT_BYTES = 256

    def initialize(engine)
      @engine = engine
    end

    # @see TaskerCore.submit
    def submit(name, context, **options)
      answer = send_requests([request(name, context, options)]).first
      raise answer if answer.is_a?(Exception)

      answer
    end

    # @see TaskerCore.submit_all
    def submit_all(requests)
      raise InvalidInputError, "submit_all: pass an Array of Hashes, not #{requests.class}" unless requests.is_a?(Array)

      requests = requests.each_with_index.map do |request, index|
        unless request.is_a?(Hash)
          raise InvalidInputError, "submit_all: request #{index} must be a Hash, not #{request.class}"
        end

        request = request.transform_keys { |key| key.is_a?(String) ? key.to_sym : key }
        request(request.delete(:name), request.delete(:context) || {}, request)
      end
      return [] if requests.empty?

      answers = send_requests(requests)
      refused = answers.grep(Exception)
      return answers if refused.empty?

      raise BatchError.new("#{refused.size} of #{answers.size} requests were refused, the others are submitted; " \
                           "the first: #{refused.first.message}", results: answers)
    end

    private

    def send_requests(requests)
      @engine.open
      Blocking.call { Native.submit("[#{requests.join(',')}]") }.map do |answer|
        next answer if answer.is_a?(Exception)

        submitted = JsonText.parse(answer)
        Task.new(submitted[:task_uuid], submitted)
      end
    end

    def request(name, context, options)
      unknown = options.keys - OPTIONS
      unless unknown.empty?
        raise InvalidInputError, "submit: unknown option #{unknown.join(', ')}; known options: #{OPTIONS.join(', ')}"
      end
      raise InvalidInputError, "submit: the context must be a Hash, not #{context.class}" unless context.is_a?(Hash)

      head = { name: name.to_s, **traced(options).compact }
      head[:namespace] = head[:namespace].to_s if head.key?(:namespace)
      head[:run_at] = moment(head[:run_at]) if head.key?(:run_at)
      %(#{JsonText.generate(head, 'submit').chop},"context":#{JsonText.generate(context, 'context')}})
    rescue JsonText::Unwritable => e
      raise InvalidInputError, e.message
    end

    # The argument takes precedence, then the request's header, then the current span.
    def traced(options)
      rack_env = options[:rack_env]
      current = Telemetry::Context.current
      options = options.except(:rack_env)
      traceparent = options[:traceparent] || (rack_env && rack_env["HTTP_TRACEPARENT"]) || current&.traceparent
      # Anybody can send a header: a malformed one is a warning of the engine, and no reason to refuse the task.
      options[:traceparent] = traceparent && Telemetry::Fields.text(traceparent, MAX_TRACEPARENT_BYTES)
      options[:sampled] = current.sampled? if own?(current, options[:traceparent])
      options[:parent_correlation_id] ||= current&.correlation_id
      options
    end

    # Whether the task joins the trace that is current here: then the sampling decision is made already.
    def own?(current, traceparent)
      current && !current.remote? && traceparent.to_s[3, 32] == current.trace_id
    end

    def moment(run_at)
      run_at = run_at.to_time if run_at.respond_to?(:to_time)
      case run_at
      when Time, Numeric then run_at.to_f
      else raise InvalidInputError, "submit: run_at must be a Time or seconds since the epoch, not #{run_at.class}"
      end
    end
  end
end

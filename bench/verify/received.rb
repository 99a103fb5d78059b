# frozen_string_literal: true

module Verify
  # Reads what rotel prints at verbosity "detailed". Meant for eyes: only lines with ids, names and values count.
  class Received
    Span = Struct.new(:trace_id, :parent_span_id, :span_id, :name, :links)
    Log = Struct.new(:body, :trace_id, :span_id)

    # @return [Array<Span>]
    attr_reader :spans
    # @return [Array<Log>]
    attr_reader :logs
    # @return [Hash{Array => Float}] the latest value of each series by name and attributes
    attr_reader :metrics

    def initialize(text)
      @spans = []
      @logs = []
      @metrics = {}
      @reader = nil
      text.each_line(chomp: true) { |line| read(line) }
    end

    # @return [Float] over all series of that name
    def total(name)
      metrics.sum { |(metric, _), value| metric == name ? value : 0 }
    end

    private

    def read(line)
      case line
      when "ResourceSpans #0" then @reader = :read_span
      when "ResourceLog #0", "ResourceLogs #0" then @reader = :read_log
      when "ResourceMetrics #0" then @reader = :read_metric
      else send(@reader, line) if @reader
      end
    end

    def read_span(line)
      case line
      when /\ASpan #\d+\z/ then spans << Span.new(nil, nil, nil, nil, [])
      when /\A    Trace ID       : (\w+)\z/ then spans.last.trace_id ||= Regexp.last_match(1)
      when /\A    Parent ID      : (\w*)\z/ then spans.last.parent_span_id ||= Regexp.last_match(1)
      when /\A    ID             : (\w+)\z/ then spans.last.span_id ||= Regexp.last_match(1)
      when /\A    Name           : (.+)\z/ then spans.last.name ||= Regexp.last_match(1)
      when /\A     -> ID: (\h{16})\z/ then spans.last.links << Regexp.last_match(1)
      end
    end

    def read_log(line)
      case line
      when /\ALogRecord #\d+\z/ then logs << Log.new
      when /\ABody: Str\((.*)\)\z/ then logs.last.body ||= Regexp.last_match(1)
      when /\A    Trace ID       : (\w*)\z/ then logs.last.trace_id ||= Regexp.last_match(1)
      when /\A    Span ID        : (\w*)\z/ then logs.last.span_id ||= Regexp.last_match(1)
      end
    end

    def read_metric(line)
      case line
      when /\A     -> Name: (.+)\z/ then describe(Regexp.last_match(1))
      when /\A(?:Number|Histogram)DataPoints #\d+\z/ then @labels = []
      when /\A     -> ([\w.]+: \w+\(.*\))\z/ then @labels&.push(Regexp.last_match(1))
      when /\A(?:Value|Count): (-?[\d.]+)\z/ then metrics[[@name, @labels.sort]] = Regexp.last_match(1).to_f
      end
    end

    def describe(name)
      @name = name
      @labels = nil
    end
  end
end

# frozen_string_literal: true

require "socket"

# An OTLP collector in this process: takes http/protobuf on a free local port and reads just enough of the
# wire format to show spans, log records and what metrics there are. Any number of clients, each with a thread.
class OtlpSink
  Span = Struct.new(:name, :trace_id, :span_id, :parent_span_id, :attributes, :events, :error, :pid)
  Log = Struct.new(:body, :severity, :trace_id, :span_id, :attributes, :pid)
  Metric = Struct.new(:name, :description, :unit, :pid)

  # @yieldparam sink [OtlpSink]
  def self.open
    sink = new
    yield sink
  ensure
    sink&.close
  end

  # @return [String]
  attr_reader :endpoint
  # @return [String] what it answers: with anything but "200 OK" it takes nothing
  attr_accessor :answer

  def initialize
    @answer = "200 OK"
    @server = TCPServer.new("127.0.0.1", 0)
    @endpoint = "http://127.0.0.1:#{@server.addr[1]}"
    @lock = Mutex.new
    @spans = []
    @logs = []
    @metrics = []
    @acceptor = Thread.new { accept }
    @acceptor.report_on_exception = false
  end

  # @return [Array<Span>] so far
  def spans
    @lock.synchronize { @spans.dup }
  end

  # @return [Array<Log>] so far
  def logs
    @lock.synchronize { @logs.dup }
  end

  # @return [Array<Metric>] so far: each once for each time that it came
  def metrics
    @lock.synchronize { @metrics.dup }
  end

  # The environment that sends a process's telemetry here.
  def env
    { "TELEMETRY_ENABLED" => "true", "OTEL_EXPORTER_OTLP_PROTOCOL" => "http/protobuf",
      "OTEL_EXPORTER_OTLP_ENDPOINT" => endpoint }
  end

  # The same as settings.
  def settings
    { enabled: true, protocol: "http/protobuf", endpoint: endpoint }
  end

  def close
    @acceptor.kill.join
    @server.close
  end

  private

  def accept
    loop do
      client = @server.accept
      Thread.new { serve(client) }.report_on_exception = false
    end
  end

  def serve(client)
    while (request = client.gets)
      length = 0
      while (header = client.gets) && header != "\r\n"
        length = Integer(header.split(":", 2).last.strip) if header.downcase.start_with?("content-length:")
      end
      body = client.read(length)
      keep(request.split[1], body) if answer == "200 OK"
      client.write("HTTP/1.1 #{answer}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
    end
  rescue SystemCallError, IOError
    nil
  ensure
    client.close
  end

  # Export…ServiceRequest { 1: Resource… { 1: Resource { 1: KeyValue }, 2: Scope… { 2: Span, LogRecord or Metric } } }
  def keep(path, body)
    keep = { "/v1/traces" => :keep_span, "/v1/logs" => :keep_log, "/v1/metrics" => :keep_metric }.fetch(path)
    Wire.each(body, 1) do |resource|
      pid = attributes(Wire.first(resource, 1), 1)["process.pid"]
      Wire.each(resource, 2) { |scope| Wire.each(scope, 2) { |record| send(keep, record, pid) } }
    end
  end

  def keep_metric(record, pid)
    metric = Metric.new(Wire.text(record, 1), Wire.text(record, 2), Wire.text(record, 3), pid)
    @lock.synchronize { @metrics << metric }
  end

  def keep_span(record, pid)
    status = Wire.first(record, 15)
    error = status && Wire.first(status, 3) == 2 ? Wire.first(status, 2).to_s : nil
    events = []
    Wire.each(record, 11) { |event| events << [Wire.text(event, 2), attributes(event, 3)] }
    span = Span.new(Wire.text(record, 5), Wire.hex(record, 1), Wire.hex(record, 2), Wire.hex(record, 4),
                    attributes(record, 9), events, error, pid)
    @lock.synchronize { @spans << span }
  end

  def keep_log(record, pid)
    log = Log.new(Wire.text(Wire.first(record, 5).to_s, 1), Wire.text(record, 3), Wire.hex(record, 9),
                  Wire.hex(record, 10), attributes(record, 6), pid)
    @lock.synchronize { @logs << log }
  end

  def attributes(message, number)
    pairs = {}
    Wire.each(message.to_s, number) { |pair| pairs[Wire.text(pair, 1)] = any(Wire.first(pair, 2).to_s) }
    pairs
  end

  # AnyValue { 1: string, 2: bool, 3: int, 4: double }
  def any(value)
    Wire.fields(value) do |number, content|
      return case number
             when 1 then content.dup.force_encoding("UTF-8")
             when 2 then content == 1
             when 3 then [content].pack("Q").unpack1("q")
             when 4 then content.unpack1("E")
             end
    end
    nil
  end

  # Protocol Buffers' wire format.
  module Wire
    class << self
      # Yields each field's number and content: an Integer, or bytes.
      def fields(bytes)
        position = 0
        while position < bytes.bytesize
          key, position = varint(bytes, position)
          content, position = content(bytes, position, key & 7)
          yield key >> 3, content
        end
      end

      def each(bytes, number)
        fields(bytes) { |found, content| yield content if found == number }
      end

      def first(bytes, number)
        fields(bytes) { |found, content| return content if found == number }
        nil
      end

      def text(bytes, number)
        first(bytes, number)&.dup&.force_encoding("UTF-8")
      end

      # Empty is not there.
      def hex(bytes, number)
        content = first(bytes, number).to_s
        content.unpack1("H*") unless content.empty?
      end

      private

      def content(bytes, position, type)
        return varint(bytes, position) if type.zero?

        length = { 1 => 8, 5 => 4 }[type]
        length, position = varint(bytes, position) unless length
        [bytes.byteslice(position, length), position + length]
      end

      def varint(bytes, position)
        value = shift = 0
        loop do
          byte = bytes.getbyte(position)
          position += 1
          value |= (byte & 0x7f) << shift
          return [value, position] if byte < 0x80

          shift += 7
        end
      end
    end
  end
end

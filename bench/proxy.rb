# frozen_string_literal: true

require "socket"
require "uri"

# A TCP proxy that behaves like a bad network: it delays what passes, forwards nothing in one direction for seconds
# without a word, and resets connections.
class Proxy
  CHUNK = 65_536
  DELAY_MS = (5..200)
  DELAYED_SECONDS = 3
  SILENT_SECONDS = (1..8)
  DIRECTIONS = %i[to_server to_client].freeze
  FAULTS = %i[delay half_open reset].freeze

  # One connection and its other half.
  class Connection
    # @param tap [#call, nil] is given what goes to the server
    def initialize(client, server, tap)
      @tap = tap
      @sockets = { to_server: [client, server], to_client: [server, client] }
      @silent = {}
      @delay = [0, 0]
      @lock = Mutex.new
    end

    # @yield when both directions have ended
    def forward
      threads = DIRECTIONS.map { |direction| Thread.new { pump(direction, *@sockets.fetch(direction)) } }
      threads.each(&:join)
      yield
    end

    def delay(seconds, duration)
      @delay = [seconds, now + duration]
    end

    def silence(direction, duration)
      @silent[direction] = now + duration
    end

    # What waits to be sent is thrown away, and both ends see a reset.
    def reset
      @sockets.fetch(:to_server).each do |socket|
        socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
        socket.close
      rescue SystemCallError, IOError
        nil
      end
    end

    private

    def pump(direction, from, to)
      loop do
        data = from.readpartial(CHUNK)
        seconds, until_then = @delay
        sleep seconds if now < until_then
        @tap&.call(data) if direction == :to_server
        sleep 0.02 while now < @silent.fetch(direction, 0)
        to.write(data)
      end
    rescue SystemCallError, IOError
      @lock.synchronize { [from, to].each { |socket| socket.close unless socket.closed? } }
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end

  attr_reader :port, :counts

  # @param taps [#call, nil] gives each new connection its tap
  def initialize(host, port, taps: nil)
    @upstream = [host, port]
    @taps = taps
    @connections = {}
    @lock = Mutex.new
    @counts = Hash.new(0)
    @server = TCPServer.new("127.0.0.1", 0)
    @port = @server.addr[1]
    @thread = Thread.new { loop { accept(@server.accept) } }
    @thread.report_on_exception = false
  end

  # @param url [String] of the server
  # @return [String] the URL that leads there through this proxy
  def through(url)
    URI(url).tap do |address|
      userinfo = address.userinfo
      address.host = "127.0.0.1"
      address.port = @port
      address.userinfo = userinfo # since uri 0.13.2 another host or port drops it
    end.to_s
  end

  # @return [Symbol] what was done
  def disturb(random)
    fault = FAULTS.sample(random: random)
    chosen = connections.shuffle(random: random)
    return fault if chosen.empty?

    @counts[fault] += 1
    send(fault, chosen, random)
    fault
  end

  # Peace: nothing is delayed or held back any more.
  def calm
    connections.each do |connection|
      connection.delay(0, 0)
      DIRECTIONS.each { |direction| connection.silence(direction, 0) }
    end
  end

  def close
    @thread.kill.join
    @server.close
    connections.each(&:reset)
  end

  private

  def delay(connections, random)
    connections.first((connections.size / 2.0).ceil).each do |connection|
      connection.delay(random.rand(DELAY_MS) / 1000.0, DELAYED_SECONDS)
    end
  end

  def half_open(connections, random)
    connections.first(1 + random.rand(3)).each do |connection|
      connection.silence(DIRECTIONS.sample(random: random), random.rand(SILENT_SECONDS))
    end
  end

  def reset(connections, random)
    connections.first(1 + random.rand(3)).each(&:reset)
  end

  def connections
    @lock.synchronize { @connections.keys }
  end

  def accept(client)
    Thread.new do
      connection = Connection.new(client, connect(client) || next, @taps&.call)
      @lock.synchronize { @connections[connection] = true }
      connection.forward { @lock.synchronize { @connections.delete(connection) } }
    end
  end

  # Who asks while the server is away is turned away.
  def connect(client)
    client.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    Socket.tcp(*@upstream, connect_timeout: 5).tap do |server|
      server.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    end
  rescue SystemCallError
    client.close
    nil
  end
end

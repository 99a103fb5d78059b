# frozen_string_literal: true

module TaskerCore
  module Worker
    # Owns: what INT and TERM do to a worker. A trap may take no lock, so it only writes a byte to a pipe and
    # calls the trap that was there before; a thread reads the pipe and does the rest. The first signal stops
    # the worker, a second one stops it now. Refuses: deciding for the process, except what the system would
    # have decided: a signal that nobody else had trapped ends the process once the worker has stopped.
    class Signals
      NAMES = %w[INT TERM].freeze

      # @param ends_process [Boolean] whether an untrapped signal is sent again, to end the process, once the
      #   worker has stopped
      # @yieldparam now [Boolean] stop: gracefully, or now
      def initialize(ends_process:, &stop)
        @ends_process = ends_process
        @stop = stop
        @pid = Process.pid
      end

      # @return [self]
      def install
        @reader, @writer = IO.pipe
        @previous = NAMES.to_h { |name| [name, Signal.trap(name) { |number| caught(name, number) }] }
        @thread = Thread.new { watch }
        @thread.name = "tasker-signals"
        self
      end

      # Puts the earlier traps back; the thread ends by itself. Waits for nobody: whoever stops the worker
      # because of a signal is waited for by that thread.
      def remove
        return unless @previous && @pid == Process.pid

        @previous.each { |name, previous| Signal.trap(name, previous || "SYSTEM_DEFAULT") }
        @previous = nil
        @writer.close
      end

      private

      # In a trap: no lock, no log, no allocation to speak of.
      def caught(name, number)
        previous = @previous&.fetch(name)
        if @pid == Process.pid
          @writer.write_nonblock(name[0], exception: false)
        elsif !previous.respond_to?(:call)
          # A fork's child: the worker is the parent's, the signal its own.
          Signal.trap(name, previous || "SYSTEM_DEFAULT")
          Process.kill(name, Process.pid)
        end
        previous.call(number) if previous.respond_to?(:call)
      rescue IOError, SystemCallError
        nil # removed at this moment
      end

      def watch
        initial = @reader.readpartial(1)
        first = NAMES.find { |name| name.start_with?(initial) }
        untrapped = %w[DEFAULT SYSTEM_DEFAULT].include?(@previous.fetch(first))
        stopping = Thread.new { @stop.call(false) }
        @stop.call(true) if second?(stopping)
        stopping.join
        remove
        Process.kill(first, Process.pid) if @ends_process && untrapped
      rescue EOFError
        nil # removed without a signal
      ensure
        @reader.close
      end

      # Waits for the end of the stop or for another signal, whichever comes first.
      def second?(stopping)
        waker = Thread.new do
          stopping.join
          @writer.write_nonblock(".", exception: false)
        rescue IOError
          nil
        end
        @reader.readpartial(1) != "."
      rescue EOFError
        false
      ensure
        waker&.kill
      end
    end
  end
end

# frozen_string_literal: true

module TaskerCore
  module Worker
    # Owns: what INT and TERM do to a worker. A trap must not take a lock, so it only starts a thread that does the
    # rest, and calls the previous trap. No thread and no pipe has to wait for a signal. The first signal stops the
    # worker, a second one stops it immediately. Refuses: deciding for the process, except what the system would have
    # decided: a signal without another trap ends the process once the worker has stopped.
    class Signals
      NAMES = %w[INT TERM].freeze

      # @param ends_process [Boolean] whether an untrapped signal is sent again, to end the process, once the
      #   worker has stopped
      # @yieldparam now [Boolean] stop: gracefully, or now
      def initialize(ends_process:, &stop)
        @ends_process = ends_process
        @stop = stop
        @pid = Process.pid
        @lock = Mutex.new
        @first = nil
      end

      # @return [self]
      def install
        @previous = NAMES.to_h { |name| [name, Signal.trap(name) { |number| caught(name, number) }] }
        self
      end

      # Restores the previous traps. Does not wait: the signal's thread waits for the stop.
      def remove
        previous = @previous
        @previous = nil
        return unless previous && @pid == Process.pid

        previous.each { |name, trap| Signal.trap(name, trap || "SYSTEM_DEFAULT") }
      end

      private

      # In a trap: no lock, no log.
      def caught(name, number)
        previous = @previous&.fetch(name)
        if @pid == Process.pid
          Thread.new { handle(name, previous) }.name = "tasker-signals"
        elsif !previous.respond_to?(:call)
          # A forked child: the worker belongs to the parent, the signal to the child.
          Signal.trap(name, previous || "SYSTEM_DEFAULT")
          Process.kill(name, Process.pid)
        end
        previous.call(number) if previous.respond_to?(:call)
      end

      def handle(name, previous)
        first = @lock.synchronize { @first.nil? && (@first = Thread.current) }
        @stop.call(true) unless first
        # If the first signal's thread was ended, the process must still be able to end.
        finish(name, previous) if first || !@first.alive?
      end

      def finish(name, previous)
        @stop.call(false)
        remove
        Process.kill(name, Process.pid) if @ends_process && %w[DEFAULT SYSTEM_DEFAULT].include?(previous)
      end
    end
  end
end

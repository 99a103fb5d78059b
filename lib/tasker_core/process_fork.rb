# frozen_string_literal: true

module TaskerCore
  # Owns: telling the extension of forks: before one, so that no transaction is under way, and the child that
  # it is one. Ruby (3.1 and later) sends every fork that goes on running Ruby through Process._fork; what does not
  # pass here is found by its pid, on first use.
  module ProcessFork
    @epoch = 0
    @lock = Mutex.new

    class << self
      # Runs the block, which forks, while no transaction is under way. One fork at a time: a second one would wait
      # in the extension, with the GVL that the first one needs. A trap may take no lock and forks as it is.
      # @api private
      def quietly(&block)
        @lock.synchronize do
          Native.before_fork
          block.call
        ensure
          Native.after_fork
        end
      rescue ThreadError => e
        raise unless e.message.include?("trap context")

        yield
      end

      # @return [Integer] how many forks lie between this process and the one that loaded the library
      attr_reader :epoch

      # @api private
      def in_child
        @epoch += 1
        TaskerCore.engine.after_fork_child
      end
    end

    def _fork
      pid = ProcessFork.quietly { super() }
      ProcessFork.in_child if pid.zero?
      pid
    end
  end

  Process.singleton_class.prepend(ProcessFork)
end

# frozen_string_literal: true

module TaskerCore
  # Owns: bringing the engine through a fork: it holds still meanwhile, and the child begins without one. Ruby
  # (3.1 and later) sends every fork that goes on running Ruby through Process._fork; what does not pass here
  # (Process.daemon) is found by its pid, on first use.
  module ProcessFork
    @epoch = 0

    class << self
      # @return [Integer] how many forks lie between this process and the one that loaded the library
      attr_reader :epoch

      # @api private
      def in_child
        @epoch += 1
        TaskerCore.engine.after_fork_child
      end
    end

    def _fork
      pid = Native.around_fork { super }
      ProcessFork.in_child if pid.zero?
      pid
    end
  end

  Process.singleton_class.prepend(ProcessFork)
end

# frozen_string_literal: true

module TaskerCore
  # Owns: telling the extension of forks: before one, so that no transaction is under way, and the child that
  # it is one. Ruby (3.1 and later) sends every fork that goes on running Ruby through Process._fork; what does not
  # pass here is found by its pid, on first use.
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
      Native.before_fork
      pid = super
      ProcessFork.in_child if pid.zero?
      pid
    ensure
      Native.after_fork
    end
  end

  Process.singleton_class.prepend(ProcessFork)
end

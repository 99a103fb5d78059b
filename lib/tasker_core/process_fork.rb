# frozen_string_literal: true

module TaskerCore
  # Owns: bringing the engine through a fork: it holds still meanwhile, and the child begins without one. Ruby
  # (3.1 and later) sends every fork that goes on running Ruby through Process._fork, but for Process.daemon. What
  # passes neither is found by its pid, on first use: then a SQLite file can be lost to this process.
  module ProcessFork
    @epoch = 0

    class << self
      # @return [Integer] how many forks lie between this process and the one that loaded the library
      attr_reader :epoch

      # @api private
      # @param listening [Array(Integer, Integer), nil] what {listening} said in the parent
      def in_child(listening)
        @epoch += 1
        close(*listening) if listening
        TaskerCore.engine.after_fork_child
      end

      # @api private
      # @return [Array(Integer, Integer), nil] the web server's socket, by which it is known again: its number
      #   alone may mean another file by the time of the fork
      def listening
        fd = Native.listening_fd
        [fd, IO.for_fd(fd, autoclose: false).stat.ino] if fd
      rescue SystemCallError
        nil
      end

      private

      # The child's copy, which would keep the port taken when the parent is gone. What the extension has of it is
      # forgotten, not dropped: no other than this closes it, and the parent's goes on.
      def close(number, inode)
        io = IO.for_fd(number, autoclose: false)
        return unless io.stat.ino == inode

        io.autoclose = true
        io.close
      rescue SystemCallError
        nil
      end
    end

    def _fork
      listening = ProcessFork.listening
      pid = Native.around_fork { super }
      ProcessFork.in_child(listening) if pid.zero?
      pid
    end

    # Comes back in the child alone.
    def daemon(*)
      listening = ProcessFork.listening
      Native.around_fork { super }.tap { ProcessFork.in_child(listening) }
    end
  end

  Process.singleton_class.prepend(ProcessFork)
end

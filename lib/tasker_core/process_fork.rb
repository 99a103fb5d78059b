# frozen_string_literal: true

module TaskerCore
  # Owns: the engine during a fork: it pauses meanwhile, and the child starts without one. Ruby (3.1 and later) calls
  # Process._fork for every fork that continues to run Ruby, except for Process.daemon. A fork that uses neither is
  # detected by its pid, on first use; the child may then be unable to open that SQLite file.
  module ProcessFork
    @epoch = 0

    class << self
      # @return [Integer] how many forks lie between this process and the one that loaded the library
      attr_reader :epoch

      # @api private
      # @param listening [Array(Integer, Integer), nil] the value of {listening} in the parent
      def in_child(listening)
        @epoch += 1
        close(*listening) if listening
        TaskerCore.engine.after_fork_child
      end

      # @api private
      # @return [Array(Integer, Integer), nil] the web server's socket: its number, and its inode, since the
      #   number may belong to another file by the time of the fork
      def listening
        fd = Native.listening_fd
        [fd, IO.for_fd(fd, autoclose: false).stat.ino] if fd
      rescue SystemCallError
        nil
      end

      private

      # Closes the child's copy, which would keep the port in use when the parent is gone. The extension forgets its own
      # handle without closing it, so this is the only place that does. The parent's socket stays open.
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

    # Returns in the child only.
    def daemon(*)
      listening = ProcessFork.listening
      Native.around_fork { super }.tap { ProcessFork.in_child(listening) }
    end
  end

  Process.singleton_class.prepend(ProcessFork)
end

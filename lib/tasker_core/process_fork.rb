# frozen_string_literal: true

module TaskerCore
  # Owns: telling the extension that this process is a fork. Ruby (3.1 and later) sends every fork that
  # goes on running Ruby through Process._fork; what does not pass here is found by its pid, on first use.
  module ProcessFork
    def _fork
      pid = super
      TaskerCore.engine.after_fork_child if pid.zero?
      pid
    end
  end

  Process.singleton_class.prepend(ProcessFork)
end

# frozen_string_literal: true

require "open3"

# Installs Debian's packages for benchmarks, where that can be done: as root, with apt-get.
module Debian
  class << self
    def able?
      Process.uid.zero? && system("command -v apt-get >/dev/null")
    end

    # RUNLEVEL=1 keeps Debian from starting services: ours are started by us.
    # @return [Boolean] whether they are there now
    def install(*packages)
      return false unless able?

      env = { "DEBIAN_FRONTEND" => "noninteractive", "RUNLEVEL" => "1" }
      command = %w[apt-get -qq install -y --no-install-recommends] + packages
      quietly(env, command) || (quietly(env, %w[apt-get -qq update]) && quietly(env, command))
    end

    private

    def quietly(env, command)
      warn "bench: #{command.join(' ')}"
      said, status = Open3.capture2e(env, *command)
      warn said unless status.success?
      status.success?
    end
  end
end

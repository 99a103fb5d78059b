# frozen_string_literal: true

require "open3"

module Verify
  # Finds the two receivers, and installs what is missing where that is allowed.
  module Install
    ROTEL = "rotel==0.0.1a15"
    VENV = File.expand_path("../../tmp/rotel", __dir__)

    class << self
      # @return [Hash{Symbol => String}] where the programs are
      def all
        prometheus.merge(rotel: rotel)
      end

      # @return [Hash{Symbol => String}] where haproxy is
      def haproxy
        { haproxy: debian("haproxy") }
      end

      # @return [Hash{Symbol => String}] where Prometheus' are
      def prometheus
        { prometheus: debian("prometheus"), promtool: debian("promtool", "prometheus") }
      end

      private

      def debian(program, package = program)
        find(program) || begin
          apt_get(package)
          find(program) or abort "verify_telemetry: there is still no #{program} after installing #{package}"
        end
      end

      def find(program)
        paths = "#{ENV.fetch('PATH')}:/usr/sbin".split(":").map { |folder| File.join(folder, program) }
        paths.find { |path| File.executable?(path) }
      end

      # RUNLEVEL=1 keeps Debian from starting the service: ours are started by us.
      def apt_get(package)
        missing(package, "apt-get install #{package}") unless allowed? && find("apt-get") && Process.uid.zero?
        env = { "DEBIAN_FRONTEND" => "noninteractive", "RUNLEVEL" => "1" }
        install = %w[apt-get -qq install -y --no-install-recommends] + [package]
        return if quietly(env, install)

        quietly(env, %w[apt-get -qq update])
        quietly(env, install) or missing(package, "apt-get install #{package}")
      end

      def rotel
        programs = File.join(VENV, "lib/python3*/site-packages/rotel/rotel-agent")
        Dir[programs].first || begin
          hint = "python3 -m venv #{VENV} && #{VENV}/bin/pip install #{ROTEL}"
          missing("rotel", hint) unless allowed? && find("python3")
          made = quietly({}, %w[python3 -m venv] + [VENV]) && quietly({}, ["#{VENV}/bin/pip", "install", ROTEL])
          (made && Dir[programs].first) or missing("rotel", hint)
        end
      end

      def allowed?
        ENV["VERIFY_INSTALL"] != "0"
      end

      def quietly(env, command)
        warn "verify_telemetry: #{command.join(' ')}"
        said, status = Open3.capture2e(env, *command)
        warn said unless status.success?
        status.success?
      end

      def missing(what, hint)
        abort "verify_telemetry: #{what} is missing. Run: #{hint}"
      end
    end
  end
end

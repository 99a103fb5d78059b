# frozen_string_literal: true

require "fileutils"
require "json"
require "open3"
require_relative "../debian"

module Peers
  # A peer that cannot run here; the message says why, and the hint.
  class Missing < StandardError; end

  # Finds the peers, and installs what is missing where that is allowed: Debian's packages as root, PyPI's in a venv
  # under tmp/. PEERS_INSTALL=0 only says what to install.
  module Install
    ROOT = File.expand_path("../..", __dir__)
    VENV = File.join(ROOT, "tmp/peers/venv")
    PGMQ_SQL = "src/install/embedded/sql/pgmq.sql"

    class << self
      # @return [String] a Python that has dbos
      def dbos
        python = File.join(VENV, "bin/python")
        return python if system(python, "-c", "import dbos", err: File::NULL)

        hint = "python3 -m venv #{VENV} && #{VENV}/bin/pip install dbos"
        raise Missing, "run: #{hint}" unless allowed? && program("python3")

        FileUtils.rm_rf(VENV)
        quietly(%w[python3 -m venv] + [VENV]) && quietly(["#{VENV}/bin/pip", "install", "--quiet", "dbos"]) or
          raise Missing, "run: #{hint}"
        python
      end

      def redis
        program("redis-server") || begin
          debian("redis-server")
          program("redis-server") or raise Missing, "there is still no redis-server"
        end
      end

      # @param gem [String] e.g. "sidekiq", with its Debian package
      def gem(name, package)
        return if gem?(name)

        debian(package)
        gem?(name) or raise Missing, "run: gem install #{name}"
      end

      # @return [String] the file that the pgmq crate embeds: as Cargo.lock has it, else the newest that is here
      def pgmq_sql
        locked_pgmq || newest_pgmq or
          raise Missing, "the pgmq crate is not on this machine. Run: cargo fetch"
      end

      private

      def locked_pgmq
        out, status = Open3.capture2(*%w[cargo metadata --format-version 1 --locked --offline],
                                     chdir: ROOT, err: File::NULL)
        return unless status.success?

        found = JSON.parse(out).fetch("packages").find { |package| package["name"] == "pgmq" }
        path = found && File.join(File.dirname(found["manifest_path"]), PGMQ_SQL)
        path if path && File.exist?(path)
      rescue Errno::ENOENT
        nil
      end

      def newest_pgmq
        home = ENV.fetch("CARGO_HOME") { File.join(Dir.home, ".cargo") }
        versions = Dir[File.join(home, "registry/src/*/pgmq-*", PGMQ_SQL)]
                   .to_h { |path| [Gem::Version.new(path[%r{/pgmq-([^/]+)/}, 1]), path] }
        versions.reject { |version, _| version.prerelease? }.max&.last
      end

      def gem?(name)
        Gem::Specification.find_by_name(name)
        true
      rescue Gem::MissingSpecError
        false
      end

      def program(name)
        ENV.fetch("PATH").split(":").map { |folder| File.join(folder, name) }.find { |path| File.executable?(path) }
      end

      def debian(package)
        (allowed? && Debian.install(package)) or raise Missing, "run: apt-get install #{package}"
        Gem::Specification.reset
      end

      def allowed?
        ENV["PEERS_INSTALL"] != "0"
      end

      def quietly(command)
        warn "peers: #{command.join(' ')}"
        said, status = Open3.capture2e(*command)
        warn said unless status.success?
        status.success?
      end
    end
  end
end

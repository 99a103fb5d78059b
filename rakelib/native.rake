# frozen_string_literal: true

require "fileutils"
require_relative "../ext/tasker_core/toolchain"

# The gem for this platform and this minor version of Ruby: no compiler is needed where it is installed.
module NativeGem
  ROOT = File.expand_path("..", __dir__)
  RUBY = RUBY_VERSION[/\A\d+\.\d+/]
  LIBRARY = "lib/tasker_core/#{RUBY}/tasker_core.#{RbConfig::CONFIG['DLEXT']}".freeze

  # @return [String] the path of the gem
  def self.build(folder)
    spec = specification
    Dir.mktmpdir do |stage|
      spec.files.each { |file| copy(file == LIBRARY ? built : File.join(ROOT, file), File.join(stage, file)) }
      Dir.chdir(stage) { FileUtils.mv(Gem::Package.build(spec, false, true), folder) }
    end
    File.join(folder, spec.file_name)
  end

  def self.specification
    spec = Dir.chdir(ROOT) { Gem::Specification.load("tasker_core.gemspec") }.dup
    spec.platform = Gem::Platform.local
    spec.extensions = []
    spec.files = spec.files.reject { |file| file.start_with?("ext/", "Cargo.") } + [LIBRARY]
    major, minor = RUBY.split(".").map(&:to_i)
    spec.required_ruby_version = [">= #{RUBY}", "< #{major}.#{minor + 1}.dev"]
    spec
  end

  def self.built
    Toolchain.new(File.join(ROOT, "Cargo.toml")).built(File.join(ROOT, "target/native"))
  end

  def self.copy(from, to)
    FileUtils.mkdir_p(File.dirname(to))
    FileUtils.cp(from, to)
  end
end

namespace :gem do
  desc "Build the gem for this platform and this Ruby into pkg/, with the extension in it"
  task :native do
    require "rubygems/package"
    require "tmpdir"
    toolchain = Toolchain.new(File.join(NativeGem::ROOT, "Cargo.toml"))
    abort toolchain.problems.join("\n") if toolchain.problems.any?
    # Away from the checkout, whose .cargo/config.toml is for debugging.
    crate, target = %w[ext/tasker_core target/native].map { |folder| File.join(NativeGem::ROOT, folder) }
    sh toolchain.build(crate, target), chdir: "/"
    mkdir_p "pkg"
    puts NativeGem.build(File.join(NativeGem::ROOT, "pkg"))
  end
end

namespace :package do
  desc "Build this platform's gem and run a workflow from it where there is no compiler (root, debootstrap: Debian 12)"
  task verify_native: "gem:native" do
    sh "bin/verify-native-package pkg/#{NativeGem.specification.file_name}"
  end
end

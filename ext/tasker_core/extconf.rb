# frozen_string_literal: true

# Owns: building the extension when the gem is installed: says what is missing before anything is built, and writes the
# Makefile that RubyGems runs. The library goes into the gem's own lib/, once, and the build's folder (more than a
# gigabyte) is removed. A checkout is built by bin/setup.

require "rbconfig"
require "shellwords"
require_relative "toolchain"

root = File.expand_path("../..", __dir__)
toolchain = Toolchain.new(File.join(root, "Cargo.toml"))
problems = toolchain.problems
abort "tasker_core cannot be built: #{problems.join("\ntasker_core cannot be built: ")}" if problems.any?

library = File.join(root, "lib/tasker_core", "tasker_core.#{RbConfig::CONFIG['DLEXT']}")

puts "building the extension with #{toolchain.cargo}: this takes some minutes, and prints nothing meanwhile"
File.write("Makefile", <<~MAKEFILE)
  all:
  \t#{toolchain.build(__dir__, 'target')}

  install:
  \tmkdir -p #{File.dirname(library).shellescape}
  \tcp #{toolchain.built('target')} #{library.shellescape}
  \trm -rf target

  clean:
  \trm -rf target
MAKEFILE

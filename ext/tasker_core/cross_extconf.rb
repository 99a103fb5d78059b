# frozen_string_literal: true

# Owns: building the extension for another platform, inside rb-sys-dock's container: see rakelib/cross.rake. Nobody else
# needs rb_sys. What is built, and how, is extconf.rb's.

require "mkmf"
require "rb_sys/mkmf"
require_relative "toolchain"

create_rust_makefile("tasker_core/tasker_core") do |rust|
  rust.env = { "LIBSQLITE3_FLAGS" => Toolchain::SQLITE_FLAGS.join(" ") }
end

# frozen_string_literal: true

# Gems for other platforms, each with one library for every minor version of Ruby. rb-sys-dock's containers set
# RUBY_TARGET and run `rake native:PLATFORM gem`: see .github/workflows/native_gems.yml. UNTRIED: it has never run.
if ENV["RUBY_TARGET"]
  require "rubygems/package_task"
  require "rb_sys/extensiontask"

  gemspec = Gem::Specification.load("tasker_core.gemspec")
  Gem::PackageTask.new(gemspec)
  RbSys::ExtensionTask.new("tasker_core", gemspec) do |extension|
    extension.lib_dir = "lib/tasker_core"
    extension.config_script = "cross_extconf.rb"
    extension.cross_compile = true
    extension.cross_platform = [ENV.fetch("RUBY_TARGET")]
    extension.cross_compiling { |spec| spec.files.reject! { |file| file.start_with?("ext/", "Cargo.") } }
  end
end

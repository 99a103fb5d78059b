# frozen_string_literal: true

# Owns: loading the extension, which defines TaskerCore::Native. No other file loads it. Where it was
# compiled it is in lib/tasker_core/; a platform's gem has it below that, in a folder for the minor version of Ruby.
module TaskerCore
  begin
    precompiled = File.join(__dir__, RUBY_VERSION[/\A\d+\.\d+/], "tasker_core.#{RbConfig::CONFIG['DLEXT']}")
    File.exist?(precompiled) ? require(precompiled) : require_relative("tasker_core")
  rescue LoadError => e
    raise LoadError, "tasker_core: cannot load its extension (#{e.message}). In a checkout run bin/setup; as a " \
                     "gem, compile it (gem install tasker_core --platform ruby) and read what the build says."
  end
end

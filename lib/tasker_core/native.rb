# frozen_string_literal: true

# Owns: loading the extension, which defines TaskerCore::Native. No other file loads it. In a gem and in a checkout it
# is under lib/tasker_core/.
module TaskerCore
  begin
    require_relative "tasker_core"
  rescue LoadError => e
    raise LoadError, "tasker_core: cannot load its extension (#{e.message}). In a checkout run bin/setup; " \
                     "as a gem, install it again (gem pristine tasker_core) and read what the build says."
  end
end

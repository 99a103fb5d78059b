# frozen_string_literal: true

# Owns: loading the extension, which defines TaskerCore::Native. No other file loads it. RubyGems puts
# the library at lib/tasker_core.so or under lib/tasker_core/, depending on its age; a checkout has it
# under lib/tasker_core/.
module TaskerCore
  extension = RbConfig::CONFIG["DLEXT"]
  places = ["tasker_core/tasker_core", "tasker_core"].map do |name|
    ["#{name}.#{extension}", File.expand_path("../#{name}.#{extension}", __dir__)]
  end
  local = places.map(&:last).find { |path| File.file?(path) }
  begin
    require(local || places.dig(0, 0))
  rescue LoadError => e
    begin
      raise e if local

      require(places.dig(1, 0))
    rescue LoadError
      raise LoadError, "tasker_core: cannot load its extension (#{e.message}). In a checkout run bin/setup; " \
                       "as a gem, install it again (gem pristine tasker_core) and read what the build says."
    end
  end
end

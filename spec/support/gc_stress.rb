# frozen_string_literal: true

# GC_STRESS=1: every allocation inside the extension runs the collector, so that a Ruby value that Rust forgot
# to keep does not survive the call. Outside of it that would only be slow.
module GcStress
  # Goes before the extension's own functions.
  module Calls
    TaskerCore::Native.singleton_methods.each do |name|
      define_method(name) do |*arguments, &block|
        next super(*arguments, &block) unless GcStress.on?

        begin
          GC.stress = true
          super(*arguments, &block)
        ensure
          GC.stress = false
        end
      end
    end
  end

  class << self
    def on?
      @on
    end

    def around
      @on = true
      yield
    ensure
      @on = false
      GC.stress = false
    end
  end

  TaskerCore::Native.singleton_class.prepend(Calls) if ENV["GC_STRESS"]
end

# frozen_string_literal: true

# Exceptions whose own methods raise, and not even StandardErrors.
module HostileExceptions
  CLASSES = {
    "its class's name" => Class.new(StandardError) do
      def self.name = raise(NotImplementedError, "no name")
    end,
    "its class" => Class.new(StandardError) do
      def class = raise(NotImplementedError, "no class")
    end,
    "its message" => Class.new(StandardError) do
      def message = raise(NoMemoryError, "no message")
    end,
    "its code" => Class.new(StandardError) do
      def code = raise(NotImplementedError, "no code")
    end,
    "its backtrace" => Class.new(StandardError) do
      def backtrace = raise(SystemStackError, "no backtrace")
    end,
    "its retry_after" => Class.new(TaskerCore::RetryableError) do
      def retry_after = raise(NotImplementedError, "no retry_after")
    end,
    "its is_a?" => Class.new(StandardError) do
      def is_a?(*) = raise(NotImplementedError, "no kind")
      alias_method :kind_of?, :is_a?
      alias_method :respond_to?, :is_a?
    end,
    "a message of no kind" => Class.new(StandardError) do
      def message = BasicObject.new
    end
  }.freeze
end

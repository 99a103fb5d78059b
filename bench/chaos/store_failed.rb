# frozen_string_literal: true

module Chaos
  # A question that the store did not answer: it is away, or broken.
  class StoreFailed < StandardError; end
end

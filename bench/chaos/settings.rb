# frozen_string_literal: true

require "zlib"

module Chaos
  # What is wanted, from the environment.
  class Settings
    DEFAULTS = { "TASKS" => 20_000, "WORKERS" => 3, "SUBMIT_SECONDS" => 40, "CHAOS_SECONDS" => 120,
                 "LIMIT_SECONDS" => 420, "LEASE_SECONDS" => 2, "STOP_SECONDS" => 8, "HANDLER_MS" => 10 }.freeze
    # Seconds between two of a kind.
    EVERY = { kill: 1, pause: 9, clock: 2, client: 6, cut: 1.5, network: 2 }.freeze
    OF_ALL_STORES = %i[kill pause clock client daemon].freeze

    attr_reader :seed

    def initialize(env)
      @env = env
      @seed = Integer(env.fetch("SEED", Random.new_seed.to_s)) % (2**32)
    end

    def [](name)
      Integer(@env.fetch(name, DEFAULTS.fetch(name).to_s))
    end

    def store
      @env.fetch("STORE", "postgres")
    end

    # @param own [Array<Symbol>] what may be done to the store
    # @return [Array<Symbol>] what is to be done, of all that may be
    def faults(own)
      possible = OF_ALL_STORES + own
      wanted = @env.fetch("FAULTS", possible.join(",")).split(",").map(&:to_sym)
      unknown = wanted - possible
      abort "chaos: FAULTS are #{possible.join(', ')}; there is no #{unknown.join(', ')}" if unknown.any?
      wanted
    end

    # Each kind of choice has chances of its own: that one comes earlier or later changes no others.
    def random(kind)
      Random.new(@seed ^ Zlib.crc32(kind.to_s))
    end
  end
end

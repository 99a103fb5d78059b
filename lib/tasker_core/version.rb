# frozen_string_literal: true

module TaskerCore
  # The version of the gem and of both crates; the workspace's Cargo.toml says the same.
  VERSION = "0.1.0"
end

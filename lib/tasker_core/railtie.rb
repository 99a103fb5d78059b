# frozen_string_literal: true

module TaskerCore
  # Owns: what a Rails application gets automatically: the Rake tasks. Loaded only in Rails.
  class Railtie < ::Rails::Railtie
    rake_tasks { load File.expand_path("tasks.rb", __dir__) }
  end
end

# frozen_string_literal: true

# Engines for specs: each example has its own, in memory unless it asks for a file.
module EngineSupport
  # Forgets the engine, its settings and its templates.
  def reset_engine
    TaskerCore::Events.reset
    TaskerCore.shutdown
    TaskerCore::Worker.instance_variable_set(:@current, nil)
    TaskerCore.instance_variable_set(:@engine, TaskerCore::Engine.new)
    TaskerCore.instance_variable_set(:@client, nil)
    TaskerCore::Telemetry.reset
  end

  # @return [TaskerCore::Configuration]
  def configure(database: ":memory:", **settings)
    TaskerCore.configure do |config|
      config.database = database
      config.template_paths = []
      settings.each { |name, value| config.public_send(:"#{name}=", value) }
    end
  end

  # A template of one step, whose handler is the block or the object.
  # @return [String] its name
  def one_step(name = "one_step", handler = nil, **options, &block)
    TaskerCore.configuration.handlers = TaskerCore.configuration.handlers.merge(name => handler || block)
    TaskerCore.template(name) { step :only, handler: name, **options }
    name
  end

  # Retries at once, so that no spec waits for a backoff.
  def quick(max_attempts = 3)
    { max_attempts: max_attempts, backoff: :none, base: 0, jitter: 0 }
  end

  # Submits, waits, and gives the task.
  def run_task(name, context = {}, **options)
    TaskerCore::Worker.start(concurrency: 2) unless TaskerCore::Worker.running?
    TaskerCore.submit(name, context, **options).wait(timeout: 20)
  end

  # A folder that is gone after the example.
  def in_folder(&block)
    Dir.mktmpdir("tasker_core", &block)
  end

  # Waits for a condition that another process or thread makes true, without sleeping for long.
  def wait_until(what = "the condition")
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    until (value = yield)
      raise "#{what} did not come true" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      Thread.pass
    end
    value
  end
end

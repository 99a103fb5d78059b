# frozen_string_literal: true

require_relative "alerts/causes"
require_relative "alerts/rules"
require_relative "alerts/stand"
require_relative "alerts/trial"
require_relative "alerts/watch"
require_relative "table"

module Verify
  # Owns: the run: each cause in its turn, and which alerts it has to fire. Refuses: an alert that no cause fires.
  class Alerts
    CAUSES = {
      slow_tasks: ["TaskerTasksSlow warning", "TaskerTasksSlow critical"],
      failing_tasks: ["TaskerTasksFailing warning"],
      greedy_handlers: ["TaskerEventsSlow warning", "TaskerEventsSlow critical"],
      locked_tables: ["TaskerStoreSlow warning", "TaskerStoreSlow critical", "TaskerConnectionBusy warning",
                      "TaskerConnectionBusy critical"],
      crowd_of_scrapers: ["TaskerApiSlow warning", "TaskerApiSlow critical"],
      refusing_collector: ["TaskerTelemetryLost warning"],
      unreadable_task: ["TaskerTasksLeftAlone warning"],
      stopped_worker: ["TaskerClaimsRefused warning", "TaskerClaimsRefused critical"],
      stopped_database: ["TaskerStoreAway critical", "TaskerStoreErrors warning"],
      hanging_handlers: ["TaskerStandstill critical", "TaskerBacklog warning"],
      killed_worker: ["TaskerWorkerDown critical", "TaskerNoWorker critical"]
    }.freeze

    def initialize(services, chosen)
      @services = services
      @all = chosen.empty?
      @causes = @all ? CAUSES : CAUSES.slice(*chosen)
      @table = Table.new
    end

    def run
      Stand.open(@services) do |stand|
        watch = Watch.new(stand.prometheus(Rules.shortened(@services.folder)))
        stand.begin
        announce
        causes = Causes.new(stand)
        @causes.each { |cause, alerts| try(causes, cause, Trial.new(watch, alerts)) }
      end
      complain_of_others if @all
      @table.good?
    end

    private

    def announce
      puts "Waits are #{Rules::WAIT} and windows #{Rules::WINDOW} long; thresholds are as they are. Times are since " \
           "the cause began, and since it ended."
      puts format("%86s %12s", "fired", "resolved")
    end

    def try(causes, cause, trial)
      causes.public_send(cause, trial)
      trial.resolves
      @table.section(cause.to_s.tr("_", " "))
      trial.report(@table)
    end

    def complain_of_others
      (Rules.names - CAUSES.values.flatten).each do |name|
        @table.row("#{name}: no cause here fires it", "NEVER", "NEVER", false)
      end
    end
  end
end

# frozen_string_literal: true

require "json"
require_relative "../../crash/witness"
require_relative "../work"

module Chaos
  # All that is known at the end: rows of the store, runs that handlers wrote down, answers that clients wrote down.
  class Evidence
    attr_reader :acknowledged

    def initialize(store, ledger, runs)
      @store = store
      @runs = runs.group_by { |run| [run.task_uuid, run.step] }
      @acknowledged = ledger.acknowledged
      @outcomes = ledger.outcomes
    end

    def tasks
      @tasks ||= select("id, task_uuid, state, idempotency_key", "tasks").each do |task|
        task["number"] = Work.number(task["idempotency_key"])
      end
    end

    def steps
      @steps ||= begin
        owners = tasks.to_h { |task| [task["id"], task] }
        select("task_id, position, name, state, attempts, result, error", "steps").each do |step|
          # One that belongs to no task is a fault of its own.
          step.merge!((owners[step["task_id"]] || { "task_uuid" => nil, "number" => 0 }).slice("task_uuid", "number"))
          step["result"] = json(step["result"])
          step["error"] = json(step["error"])
        end
      end
    end

    # @return [Hash{Array => Array<Hash>}] by task_id and position, in order
    def step_transitions
      @step_transitions ||=
        select("task_id, position, sort_key, from_state, to_state, metadata->>'attempt' AS attempt, " \
               "metadata->>'worker' AS worker, metadata->>'reason' AS reason", "step_transitions")
        .group_by { |row| row.values_at("task_id", "position") }.transform_values { |rows| in_order(rows) }
    end

    # @return [Hash{Array => Array<Hash>}] by task_id, in order
    def task_transitions
      @task_transitions ||= select("task_id, sort_key, from_state, to_state", "task_transitions")
                            .group_by { |row| row["task_id"] }.transform_values { |rows| in_order(rows) }
    end

    def history(step)
      step_transitions.fetch(step.values_at("task_id", "position"), [])
    end

    def runs(step)
      @runs.fetch(step.values_at("task_uuid", "name"), [])
    end

    def run_count
      @runs.values.sum(&:size)
    end

    # @return [Array<String>] task_uuids that handlers were given
    def run_tasks
      @runs.keys.map(&:first).uniq
    end

    # @return [Array<String>] the states operators were told, at most one
    def outcomes(number)
      @outcomes.fetch(number, [])
    end

    private

    def select(columns, table)
      @store.rows("SELECT #{columns} FROM #{@store.table(table)}")
    end

    def in_order(rows)
      rows.sort_by { |row| row["sort_key"] }
    end

    def json(value)
      value.is_a?(String) ? JSON.parse(value) : value
    end
  end
end

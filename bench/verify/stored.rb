# frozen_string_literal: true

module Verify
  # What must arrive, worked out from the transitions in the store alone.
  class Stored
    DONE = %w[complete error waiting_for_retry].freeze
    # Counters by handler, and the state whose entries they count.
    STEPS = { "enqueued" => "enqueued", "claimed" => "in_progress", "succeeded" => "complete", "failed" => "error",
              "retried" => "waiting_for_retry" }.freeze
    TASKS = { "completed" => "complete", "failed" => "error", "cancelled" => "cancelled" }.freeze

    Move = Struct.new(:step, :from, :to, :handler)

    attr_reader :traces, :remote

    def initialize(answer)
      @tasks = answer.fetch("tasks")
      @traces = @tasks.map { |task| task.fetch("trace_id") }
      @remote = answer.fetch("remote").split("-")[1, 2]
      @moves = @tasks.flat_map do |task|
        task.fetch("transitions").map { |step, from, to| Move.new(step, from, to, task["handlers"][step]) }
      end
    end

    # An attempt that the cancelled task left without a completion has its handler.execution all the same: the spans
    # that its handler opened need their parent.
    # @return [Hash{String => Integer}]
    def spans
      attempts = steps { |move| move.to == "in_progress" }
      done = steps { |move| completed?(move) }
      {
        "task.orchestration" => @tasks.size, "task.state_transition" => tasks { true },
        "step.discovery" => tasks { |move| move.to == "enqueuing_steps" },
        "step.enqueuing" => tasks { |move| move.from == "enqueuing_steps" && move.to == "steps_in_process" },
        "result.evaluation" => tasks { |move| move.to == "evaluating_results" },
        "worker.step_execution" => attempts,
        "task.finalization" => tasks { |move| %w[complete error cancelled resolved_manually].include?(move.to) },
        "step.state_transition" => steps { true },
        "handler.execution" => attempts, "result.submission" => done, "worker.step_completion_received" => done,
        # Of a task that was cancelled while its handler ran.
        "worker.stale_completion_received" => attempts - done,
        "charge card" => charges
      }
    end

    # @return [Hash{String => Integer}]
    def logs
      {
        "Task created" => @tasks.size, "Task completed successfully" => tasks { |move| move.to == "complete" },
        "Task failed" => tasks { |move| move.to == "error" }, "Step state transition" => steps { true },
        "Step execution started" => steps { |move| move.to == "in_progress" },
        "Step execution completed successfully" => steps { |move| completed?(move) && move.to == "complete" },
        "Step execution failed" => steps { |move| completed?(move) && move.to == "error" },
        "Step execution failed, will retry" =>
          steps { |move| completed?(move) && !%w[complete error].include?(move.to) },
        "charging" => charges
      }
    end

    # @return [Hash{String => Integer}] by OpenTelemetry's names
    def counters
      tasks = TASKS.to_h { |name, state| ["tasker.tasks.#{name}", tasks { |move| move.to == state }] }
      steps = STEPS.to_h { |name, state| ["tasker.steps.#{name}", steps { |move| move.to == state }] }
      { "tasker.tasks.created" => @tasks.size, **tasks, **steps,
        "tasker.steps.executed" => steps { |move| completed?(move) }, "orders.charges" => charges }
    end

    # @return [Hash{String => Hash{String => Integer}}] counter => handler => count
    def by_handler
      STEPS.slice("succeeded", "failed", "retried").transform_values do |state|
        @moves.select { |move| move.step && move.to == state }.group_by(&:handler).transform_values(&:size)
      end
    end

    private

    def charges
      steps { |move| move.step == "charge_payment" && move.to == "in_progress" }
    end

    def completed?(move)
      move.from == "in_progress" && DONE.include?(move.to)
    end

    def tasks
      @moves.count { |move| move.step.nil? && yield(move) }
    end

    def steps
      @moves.count { |move| move.step && yield(move) }
    end
  end
end

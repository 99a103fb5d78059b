# frozen_string_literal: true

# The spans that came, against what docs/internals/spans.md says of their parents.
class Traces
  ROOT = "task.orchestration"
  ATTEMPT = "worker.step_execution"
  PARENTS = {
    "task.state_transition" => ROOT, "step.discovery" => "task.state_transition",
    "step.enqueuing" => "task.state_transition", "result.evaluation" => "task.state_transition", ATTEMPT => ROOT,
    "step.state_transition" => ATTEMPT, "handler.execution" => ATTEMPT, "result.submission" => ATTEMPT,
    "worker.step_completion_received" => ROOT, "charge card" => "handler.execution"
  }.freeze

  # @param spans [Array<OtlpSink::Span>]
  def initialize(spans)
    @spans = spans
    @by_trace = spans.group_by(&:trace_id)
    @by_name = spans.group_by(&:name)
    @known = spans.to_h { |span| [[span.trace_id, span.span_id], span] }
  end

  def ids
    @by_trace.keys
  end

  # @return [Array<OtlpSink::Span>]
  def named(name)
    @by_name.fetch(name, [])
  end

  # Traces that do not have exactly one root, a task.orchestration.
  def without_one_root
    @by_trace.reject { |_, spans| spans.reject(&:parent_span_id).map(&:name) == [ROOT] }
  end

  # By name, the spans whose parent is not in their trace, or is not what it must be.
  def misplaced
    @misplaced ||= @spans.reject { |span| span.name == ROOT || parent(span)&.name == PARENTS[span.name] }
                         .group_by(&:name)
  end

  def parent(span)
    @known[[span.trace_id, span.parent_span_id]]
  end

  # Handlers that ran in another process than their attempt says.
  def elsewhere
    named("handler.execution").reject do |span|
      parent(span)&.attributes&.fetch("worker_id")&.include?("-#{span.pid}-")
    end
  end

  def twice
    @spans.size - @known.size
  end

  # @return [Hash{Integer => Integer}] how many traces have spans of attempts from so many workers
  def workers_each
    named(ATTEMPT).group_by(&:trace_id).values.map { |spans| spans.map { |span| worker(span) }.uniq.size }.tally
  end

  private

  def worker(span)
    span.attributes["worker_id"]
  end
end

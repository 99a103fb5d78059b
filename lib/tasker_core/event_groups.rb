# frozen_string_literal: true

module TaskerCore
  # The event groups of the database, for operators: how far each has come, and its dead letters.
  #
  #     TaskerCore.event_groups.each { |group| puts "#{group.name}: #{group.pending} behind, #{group.dead} dead" }
  #     TaskerCore.event_groups.dead("billing").each { |letter| puts "#{letter.event_name} #{letter.error_message}" }
  #     TaskerCore.event_groups.requeue("billing")
  class EventGroups
    include Enumerable

    # One group, as it was when it was asked for. `pending` counts events that it has not handled, without those that
    # wait for a retry (`retrying`); at most 10,000 events are looked at, and `more` says whether there are more.
    # `lag_ms` is the age of the oldest. `holder` is who reads for it, nil if nobody does.
    Group = Struct.new(:name, :patterns, :ordered, :holder, :lease_seconds, :pending, :more, :lag_ms, :retrying, :dead,
                       :began_at, keyword_init: true)

    # An event that a group has given up. `delivery` names it in {EventGroups#requeue} and {EventGroups#drop}.
    DeadLetter = Struct.new(:delivery, :key, :attempts, :died_at, :error_class, :error_message, :event,
                            keyword_init: true) do
      # @return [String, nil]
      def event_name
        event[:event_name]
      end

      # @return [String, nil]
      def event_id
        event[:event_id]
      end

      # Leaves out the event.
      def inspect
        "#<#{self.class} #{event_name} #{event_id} #{error_class}: #{error_message}>"
      end
    end

    def initialize(engine)
      @engine = engine
    end

    # @yieldparam group [Group] by name
    def each(&block)
      ask { Native.event_groups }.map { |group| Group.new(**group, began_at: moment(group[:began_at])) }.each(&block)
    end

    # @param name [String, Symbol]
    # @return [Group, nil]
    def [](name)
      find { |group| group.name == name.to_s }
    end

    # @param name [String, Symbol] the group
    # @param limit [Integer]
    # @return [Array<DeadLetter>] the oldest events first
    # @raise [NotFoundError] no such group
    def dead(name, limit: 100)
      ask { Native.event_dead(name.to_s, Integer(limit)) }.map do |letter|
        error = letter.delete(:error) || {}
        DeadLetter.new(**letter, died_at: moment(letter[:died_at]), error_class: error[:class],
                                 error_message: error[:message])
      end
    end

    # Has dead letters delivered again, with a fresh budget of attempts.
    # @param name [String, Symbol] the group
    # @param letters [Array<DeadLetter, Integer>, nil] these; default: all
    # @return [Integer] how many
    # @raise [NotFoundError] no such group
    def requeue(name, letters = nil)
      call { Native.event_requeue(name.to_s, numbers(letters)) }
    end

    # Forgets dead letters.
    # @param name [String, Symbol] the group
    # @param letters [Array<DeadLetter, Integer>, nil] these; default: all
    # @return [Integer] how many
    # @raise [NotFoundError] no such group
    def drop(name, letters = nil)
      call { Native.event_drop(name.to_s, numbers(letters)) }
    end

    # Forgets a group that nobody reads for, with its place and its dead letters.
    # @param name [String, Symbol]
    # @return [Boolean] whether it was there
    # @raise [IllegalTransitionError] somebody reads for it
    def remove(name)
      call { Native.event_group_remove(name.to_s) }
    end

    def inspect
      "#<#{self.class} #{@engine.configuration.inspect}>"
    end

    private

    def call(&block)
      @engine.open
      Blocking.call(&block)
    end

    def ask(&block)
      JsonText.parse(call(&block))
    end

    def moment(micros)
      Time.at(0, micros, :microsecond).utc
    end

    def numbers(letters)
      return if letters.nil?

      letters = [letters] unless letters.is_a?(Array)
      letters.map { |letter| letter.is_a?(DeadLetter) ? letter.delivery : Integer(letter) }
    end
  end
end

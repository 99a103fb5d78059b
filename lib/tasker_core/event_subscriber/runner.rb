# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # Owns: the threads of one group: one that waits for events, and those that handle them. What hangs in one keeps no
    # other from going on.
    class Runner
      # Seconds a claim waits; an event ends it at once.
      WAIT = 30.0
      # Seconds between tries while the database is away, at first and at most.
      PAUSES = (0.2..5.0)
      # Seconds for threads that are killed.
      KILL_SECONDS = 1.0
      # Interrupts reach a thread while it waits, and inside a handler, not in between.
      WHILE_WAITING = { Object => :on_blocking }.freeze
      private_constant :WAIT, :PAUSES, :KILL_SECONDS, :WHILE_WAITING

      # @return [String]
      attr_reader :group

      # @param subscription [Subscription]
      def initialize(subscription)
        @subscription = subscription
        @group = subscription.group
        @delivering = Delivering.new(subscription)
        @lock = Mutex.new
        @come = ConditionVariable.new
        @room = ConditionVariable.new
        @ended = ConditionVariable.new
        @lanes = Lanes.new
        @hurried = false
        @settling = Settling.new(@group, @lanes, @lock, @room)
        @state = :new
        @threads = []
      end

      # @return [self]
      def start
        Native.event_group_open(@subscription.to_json)
        @state = :running
        @claimer = thread("tasker-events-#{@group}") { claim }
        @lock.synchronize { @subscription.concurrency.times { |index| @threads[index] = spawn(index) } }
        self
      end

      # @return [Boolean]
      def running?
        %i[running stopping].include?(@state)
      end

      # @return [Boolean] whether no handler had to be ended when it stopped
      def in_time?
        @in_time != false
      end

      # @param seconds [Numeric]
      # @return [Boolean] whether it has ended
      def join(seconds)
        deadline = now + seconds
        @lock.synchronize do
          while running?
            left = deadline - now
            return false if left <= 0

            @ended.wait(@lock, left)
          end
        end
        true
      end

      # Lets handlers finish and gives the rest back.
      # @param timeout [Numeric] seconds
      # @return [Boolean] whether every handler finished in time
      def stop(timeout)
        first = @lock.synchronize { @state == :running && (@state = :stopping) }
        return stop_again(timeout) unless first

        begin
          @in_time = end_threads(timeout)
        ensure
          give_back
          @lock.synchronize do
            @state = :stopped
            @ended.broadcast
          end
        end
      end

      private

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      def thread(name, &block)
        Thread.new do
          Thread.current.name = name
          Thread.current.report_on_exception = false
          Thread.handle_interrupt(WHILE_WAITING, &block)
        end
      end

      # ---- The thread that waits for events

      def claim
        pause = nil
        while wait_for_room
          pause = attempt(pause) do
            events = JsonText.parse(Native.event_group_claim(@group, @lanes.room, @subscription.lease, WAIT))
            take(events.map { |delivery| Event.new(delivery) }) unless events.empty?
          end
        end
      end

      # Whether to go on.
      def wait_for_room
        @lock.synchronize do
          @room.wait(@lock) until @state != :running || @lanes.hungry?
          @state == :running
        end
      end

      def take(events)
        @lock.synchronize do
          @lanes.add(events)
          @come.broadcast
        end
      end

      # @return [Float, nil] the pause there was, for the next time
      def attempt(pause)
        yield
        nil
      rescue StoppedError
        fail_for_good("the engine was closed; the group's events wait for another process")
      rescue NotFoundError => e
        reopen(e)
        rest(pause)
      rescue StandardError => e
        TaskerCore.logger.warn("events could not be claimed; trying again", group: @group, error: e) unless pause
        rest(pause)
      end

      def rest(pause)
        pause = pause ? [pause * 2, PAUSES.end].min : PAUSES.begin
        @lock.synchronize { @room.wait(@lock, pause) if @state == :running }
        pause
      end

      # Somebody has removed the group while it was read.
      def reopen(error)
        TaskerCore.logger.warn("an event group is opened again", group: @group, error: error)
        Native.event_group_open(@subscription.to_json)
      rescue StandardError
        nil # the next claim says so
      end

      def fail_for_good(reason)
        TaskerCore.logger.debug("subscriber ended", group: @group, reason: reason)
        @lock.synchronize do
          @state = :stopped if @state == :running
          [@come, @ended].each(&:broadcast)
        end
        nil
      end

      # ---- The threads that handle them

      def spawn(index)
        thread("tasker-events-#{@group}-#{index}") do
          finished = false
          begin
            work
            finished = true
          rescue Exception => e # rubocop:disable Lint/RescueException -- raised into the thread from elsewhere
            TaskerCore.logger.error("subscriber thread died", group: @group, error: e)
          ensure
            replace(index) unless finished
          end
        end
      end

      def replace(index)
        @lock.synchronize { @threads[index] = spawn(index) if @state == :running }
      end

      def work
        while (event = next_event)
          outcome = nil
          begin
            outcome = @delivering.call(event)
          ensure
            # None: the thread is being killed, or the handler jumped out.
            outcome ||= @delivering.killed(event)
            @lock.synchronize { @settling.add(event, outcome) }
          end
          @settling.settle
        end
        @settling.settle(now_or_never: true)
      end

      def next_event
        @lock.synchronize do
          loop do
            return if @state != :running

            event = @lanes.take
            return event if event

            @come.wait(@lock)
          end
        end
      end

      # ---- The end

      # Who has no time ends what another stop waits for.
      def stop_again(timeout)
        if timeout <= 0
          @hurried = handlers.any?
          handlers.each(&:kill)
        end
        join([timeout, KILL_SECONDS].max)
      end

      def end_threads(timeout)
        deadline = now + timeout
        @claimer.kill
        @lock.synchronize { [@come, @room].each(&:broadcast) }
        in_time = handlers.all? { |thread| thread.join([deadline - now, 0].max) }
        @claimer.join(KILL_SECONDS)
        handlers.each(&:kill)
        handlers.each { |thread| thread.join(KILL_SECONDS) }
        in_time && !@hurried
      end

      def handlers
        @lock.synchronize { @threads.select { |thread| thread.alive? && thread != Thread.current } }
      end

      def give_back
        @settling.finish
        Native.event_group_close(@group)
      rescue StoppedError, NotFoundError
        nil
      rescue StandardError => e
        TaskerCore.logger.warn("an event group could not be given back; its lease runs out", group: @group, error: e)
      end
    end
  end
end

use super::*;

fn channel() -> Arc<Channel> {
    Channel::new(Clock::System, Arc::new(Bell::default()))
}

fn event() -> StepEvent {
    let text: Arc<str> = Arc::from("x");
    StepEvent {
        event_id: crate::ids::uuid_v7(Clock::System.now()),
        task_uuid: Uuid::nil(),
        step_uuid: Uuid::nil(),
        correlation_id: Uuid::nil(),
        parent_correlation_id: None,
        namespace: Arc::clone(&text),
        task_name: Arc::clone(&text),
        step_name: Arc::clone(&text),
        handler: Arc::clone(&text),
        attempt: 1,
        max_attempts: 1,
        timeout_seconds: None,
        context: Arc::clone(&text),
        dependency_results: Vec::new(),
        config: text,
        publishers: None,
        trace_id: None,
        span_id: None,
        traceparent: None,
        dispatched_at: Clock::System.now(),
        claimed_ahead: None,
    }
}

/// The engine is at work on a completion, and the handlers are brisk.
fn at_work(channel: &Arc<Channel>) {
    channel.complete(StepCompletion::failed(Uuid::nil(), StepError::default()));
    channel.take_completions(10);
}

#[test]
fn who_keeps_others_from_running_waits_two_milliseconds_at_most() {
    let channel = channel();
    channel.rest(true);
    at_work(&channel);
    let waits: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            assert!(channel.wait_briefly().is_none());
            began.elapsed()
        })
        .collect();
    // Of 20 the shortest: what the machine adds is not the channel's.
    let shortest = waits.iter().min().unwrap();
    assert!(*shortest >= BRIEFLY && *shortest < Duration::from_millis(4), "{waits:?}");
    assert!(channel.longest_brief() >= BRIEFLY);
}

#[test]
fn nobody_waits_so_for_transactions_that_take_longer() {
    let channel = channel();
    at_work(&channel);
    let began = Instant::now();
    while began.elapsed() < BRIEFLY {
        std::thread::yield_now();
    }
    channel.rest(true);
    at_work(&channel);
    assert!(channel.wait_briefly().is_none());
    assert_eq!(channel.longest_brief(), Duration::ZERO);
}

#[test]
fn an_attempt_that_nobody_answered_can_be_failed_once() {
    let channel = channel();
    let event = event();
    let event_id = event.event_id;
    channel.dispatch(vec![event], Tick::default());
    assert!(!channel.fail_event(event_id, StepError::default()), "it was not taken up");
    assert!(channel.try_poll().is_some());
    assert!(channel.fail_event(event_id, StepError { message: "lost".into(), ..StepError::default() }));
    assert!(!channel.fail_event(event_id, StepError::default()), "it was answered");
    let completions = channel.take_completions(10);
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].0.outcome.as_ref().unwrap_err().message, "lost");
}

#[test]
fn a_channel_that_failed_ends_every_wait_for_good() {
    let channel = channel();
    channel.dispatch(vec![event()], Tick::default());
    channel.fail();
    channel.open();
    assert!(channel.is_closed() && channel.has_failed() && channel.try_poll().is_none());
    assert!(!channel.wait(Duration::from_secs(20), &Interrupt::new()).unwrap());
}

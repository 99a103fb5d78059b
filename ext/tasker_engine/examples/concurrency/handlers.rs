//! Handler threads, as the bindings run them, and the engine that feeds them.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};
use uuid::Uuid;

use crate::bell::Bell;
use crate::channel::{Channel, StepEvent};
use crate::clock::Tick;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::{channel, completion, event, LONG};
use crate::step::StepError;
use crate::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("handlers_and_engine_feed_each_other_to_the_end", to_the_end),
    ("dispatch_wakes_as_many_as_there_are_events", dispatch),
    ("close_ends_every_wait", close),
    ("brief_waits_end_with_the_engines_work", brief),
    ("an_interrupt_takes_no_event_from_another", interrupt),
    ("an_interrupt_ends_the_wait_whenever_it_comes", interrupt_alone),
    ("an_event_is_begun_or_taken_back_never_both", taken_back),
    ("an_attempt_is_failed_only_while_nobody_has_answered_it", failed),
    ("a_channel_that_fails_ends_every_wait", fails),
];

/// What `poll_step_event` does: an event, or none because the channel is closed and empty.
fn poll(channel: &Arc<Channel>) -> Option<StepEvent> {
    loop {
        if let Some(event) = channel.try_poll().or_else(|| channel.wait_briefly()) {
            return Some(event);
        }
        match channel.wait(LONG, &Interrupt::new()) {
            Ok(true) => {}
            Ok(false) => return channel.try_poll(),
            Err(error) => panic!("nobody interrupts: {error}"),
        }
    }
}

fn handlers(channel: &Arc<Channel>, count: usize) -> Vec<JoinHandle<usize>> {
    let handler = |channel: Arc<Channel>| {
        let mut handled = 0;
        while let Some(event) = poll(&channel) {
            channel.complete(completion(&event));
            handled += 1;
        }
        handled
    };
    (0..count).map(|_| Arc::clone(channel)).map(|channel| thread::spawn(move || handler(channel))).collect()
}

fn joined(handlers: Vec<JoinHandle<usize>>) -> usize {
    handlers.into_iter().map(|handler| handler.join().unwrap()).sum()
}

/// The engine's thread: every completion brings the next event of its chain, until `wanted` have come.
fn carry(channel: &Channel, bell: &Bell, wanted: usize, brisk: bool) {
    let mut settled = 0;
    while settled < wanted {
        let completions = channel.take_completions(2);
        if completions.is_empty() {
            bell.sleep(LONG);
            continue;
        }
        settled += completions.len();
        // Two chains: events 1, 3, 5 and 2, 4, 6.
        let next = completions.iter().map(|(completion, _)| completion.event_id.as_u128() + 2);
        channel.dispatch(next.filter(|number| *number <= wanted as u128).map(event).collect(), Tick(0));
        channel.rest(brisk);
        // What was left is taken without a bell.
        if channel.depth().completions > 0 {
            bell.ring();
        }
    }
}

fn to_the_end() {
    let (channel, bell) = channel();
    channel.rest(true);
    let handlers = handlers(&channel, 2);
    channel.dispatch(vec![event(1), event(2)], Tick(0));
    carry(&channel, &bell, 6, true);
    channel.close();
    assert_eq!(joined(handlers), 6);
    let depth = channel.depth();
    assert_eq!((depth.waiting, depth.running, depth.completions), (0, 0, 0));
}

fn dispatch() {
    let (channel, bell) = channel();
    let handlers = handlers(&channel, 3);
    channel.dispatch(vec![event(7), event(8), event(9)], Tick(0));
    channel.dispatch(vec![event(10)], Tick(0));
    let mut done = 0;
    while done < 4 {
        match channel.take_completions(10).len() {
            0 => assert!(bell.sleep(LONG)),
            more => done += more,
        }
    }
    channel.close();
    assert_eq!(joined(handlers), 4);
}

fn close() {
    let (channel, _bell) = channel();
    let handlers = handlers(&channel, 2);
    let closing = Arc::clone(&channel);
    let closer = thread::spawn(move || closing.close());
    channel.dispatch(vec![event(1)], Tick(0));
    closer.join().unwrap();
    let handled = joined(handlers);
    assert_eq!(handled + channel.depth().waiting, 1, "it was handled, or is still there");
}

/// A completion that brings nothing: whoever waits briefly for what follows must not wait in vain.
fn brief() {
    let (channel, bell) = channel();
    channel.rest(true);
    channel.dispatch(vec![event(1)], Tick(0));
    let handlers = handlers(&channel, 2);
    while channel.take_completions(10).is_empty() {
        bell.sleep(LONG);
    }
    channel.rest(true);
    channel.close();
    assert_eq!(joined(handlers), 1);
}

/// Two wait, one event comes, and one of the two is called back: the other one must get the event.
fn interrupt() {
    let (channel, _bell) = channel();
    let interrupt = Interrupt::new();
    let called_back = {
        let (channel, interrupt) = (Arc::clone(&channel), interrupt.clone());
        thread::spawn(move || match channel.wait(LONG, &interrupt) {
            Ok(true) => channel.try_poll().is_some(),
            Ok(false) => panic!("nobody closed it"),
            Err(error) => {
                assert!(matches!(error, Error::Interrupted));
                false
            }
        })
    };
    let other = {
        let channel = Arc::clone(&channel);
        thread::spawn(move || poll(&channel).is_some())
    };
    let calling = thread::spawn(move || interrupt.set());
    channel.dispatch(vec![event(1)], Tick(0));
    calling.join().unwrap();
    if called_back.join().unwrap() {
        channel.close();
    }
    other.join().unwrap();
    assert_eq!(channel.depth().waiting, 0);
}

fn interrupt_alone() {
    let (channel, _bell) = channel();
    let interrupt = Interrupt::new();
    let caller = {
        let interrupt = interrupt.clone();
        thread::spawn(move || interrupt.set())
    };
    assert!(matches!(channel.wait(LONG, &interrupt), Err(Error::Interrupted)));
    caller.join().unwrap();
}

fn taken_back() {
    let (channel, _bell) = channel();
    channel.dispatch(vec![event(1), event(2)], Tick(0));
    let begun = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let (channel, begun) = (Arc::clone(&channel), Arc::clone(&begun));
        thread::spawn(move || {
            while let Some(event) = channel.try_poll() {
                begun.lock().unwrap().push(event.event_id);
            }
        })
    };
    let mut taken: Vec<Uuid> = Vec::new();
    if channel.revoke(Uuid::from_u128(2)) {
        taken.push(Uuid::from_u128(2));
    }
    taken.extend(channel.take_unstarted(Tick(1)));
    handler.join().unwrap();
    taken.extend(begun.lock().unwrap().iter().copied());
    taken.sort();
    assert_eq!(taken, [1, 2].map(Uuid::from_u128), "each once");
}

/// A handler's answer, and somebody who fails the attempt because he sees none: whoever was first counts.
fn failed() {
    let (channel, _bell) = channel();
    channel.dispatch(vec![event(1)], Tick(0));
    let event = channel.try_poll().unwrap();
    let (event_id, answering) = (event.event_id, Arc::clone(&channel));
    let handler = thread::spawn(move || answering.complete(completion(&event)));
    let failed = channel.fail_event(event_id, StepError::default());
    handler.join().unwrap();
    let first = channel.take_completions(10).remove(0).0;
    assert_eq!(first.outcome.is_err(), failed);
}

fn fails() {
    let (channel, _bell) = channel();
    channel.rest(true);
    let handlers = handlers(&channel, 2);
    channel.dispatch(vec![event(1)], Tick(0));
    channel.fail();
    assert!(joined(handlers) <= 1);
}

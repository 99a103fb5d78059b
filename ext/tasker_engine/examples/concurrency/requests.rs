//! Callers at the engine's door, the engine behind it, and whoever closes it.

use std::sync::Arc;

use shuttle::thread::{self, JoinHandle};
use uuid::Uuid;

use crate::bell::Bell;
use crate::engine::inbox::{Inbox, Reply, Work};
use crate::engine::{is_closed, take};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::model::LONG;
use crate::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("every_request_is_answered", answered),
    ("close_answers_whoever_asks_and_whoever_has_asked", closed),
    ("who_is_called_back_can_wait_again_or_withdraw", called_back),
    ("who_is_called_back_from_an_engine_that_hangs_leaves_nothing_behind", withdrawn),
    ("an_engine_that_dies_answers", dies),
];

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new(Arc::new(Bell::default())))
}

fn ask(inbox: &Arc<Inbox>) -> JoinHandle<Result<Reply>> {
    let inbox = Arc::clone(inbox);
    thread::spawn(move || {
        let answer = inbox.send(Work::Cancel(Uuid::nil()))?.wait(LONG, &Interrupt::new());
        answer.expect("nobody calls it back")
    })
}

/// The engine's thread, as its loop is. Gives how many requests it answered.
fn serve(inbox: &Arc<Inbox>) -> JoinHandle<usize> {
    let inbox = Arc::clone(inbox);
    thread::spawn(move || {
        let mut answered = 0;
        loop {
            let requests = take(&inbox);
            if requests.is_empty() {
                if is_closed(&inbox) {
                    return answered;
                }
                inbox.bell.sleep(LONG);
            }
            for request in requests {
                answered += 1;
                let _ = request.reply.send(Ok(Reply::Done));
            }
        }
    })
}

fn answered() {
    let inbox = inbox();
    let engine = serve(&inbox);
    let askers: Vec<_> = (0..3).map(|_| ask(&inbox)).collect();
    askers.into_iter().for_each(|asker| assert!(matches!(asker.join().unwrap(), Ok(Reply::Done))));
    inbox.close();
    assert_eq!(engine.join().unwrap(), 3);
}

fn closed() {
    let inbox = inbox();
    let engine = serve(&inbox);
    let askers: Vec<_> = (0..2).map(|_| ask(&inbox)).collect();
    inbox.close();
    let answers: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
    let done = answers.iter().filter(|answer| matches!(answer, Ok(Reply::Done))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::Stopped(_)))).count();
    assert_eq!((done + refused, engine.join().unwrap()), (2, done), "refused is what was not taken");
}

/// Called back at any moment, one waits again and has the answer, the other withdraws what has not been taken.
fn called_back() {
    let inbox = inbox();
    let asker = |again: bool| {
        let (inbox, interrupt) = (Arc::clone(&inbox), Interrupt::new());
        let calling = interrupt.clone();
        let asker = thread::spawn(move || {
            let mut ticket = inbox.send(Work::Cancel(Uuid::nil())).unwrap();
            let answer = ticket.wait(LONG, &interrupt);
            if answer.is_none() && again {
                return ticket.wait(LONG, &Interrupt::new());
            }
            answer
        });
        (asker, thread::spawn(move || calling.set()))
    };
    let (patient, hasty) = (asker(true), asker(false));
    let engine = serve(&inbox);
    assert!(matches!(patient.0.join().unwrap(), Some(Ok(Reply::Done))));
    let answered = hasty.0.join().unwrap();
    [patient.1, hasty.1].into_iter().for_each(|calling| calling.join().unwrap());
    inbox.close();
    let served = engine.join().unwrap();
    assert!(served == 2 || (served == 1 && answered.is_none()), "{served} served, {answered:?}");
}

fn withdrawn() {
    let (inbox, interrupt) = (inbox(), Interrupt::new());
    let calling = interrupt.clone();
    let caller = thread::spawn(move || calling.set());
    let mut ticket = inbox.send(Work::Cancel(Uuid::nil())).unwrap();
    assert!(ticket.wait(LONG, &interrupt).is_none());
    drop(ticket);
    assert!(take(&inbox).is_empty(), "nothing is done for somebody who was told that nothing was");
    caller.join().unwrap();
}

fn dies() {
    let inbox = inbox();
    let askers: Vec<_> = (0..2).map(|_| ask(&inbox)).collect();
    let dying = Arc::clone(&inbox);
    let engine = thread::spawn(move || {
        drop(take(&dying));
        dying.close();
    });
    askers.into_iter().for_each(|asker| assert!(matches!(asker.join().unwrap(), Err(Error::Stopped(_)))));
    engine.join().unwrap();
}

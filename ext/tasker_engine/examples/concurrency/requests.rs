//! Callers at the engine's door, the engine behind it, and whoever closes it.

use std::sync::Arc;

use shuttle::thread::{self, JoinHandle};
use uuid::Uuid;

use crate::channel::Bell;
use crate::error::{Error, Result};
use crate::model::LONG;
use crate::worker::inbox::{Inbox, Reply, Work};
use crate::worker::{is_closed, take};
use crate::Scenario;

pub const SCENARIOS: &[Scenario] =
    &[("every_request_is_answered", answered), ("close_answers_whoever_asks_and_whoever_has_asked", closed)];

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new(Arc::new(Bell::default())))
}

fn ask(inbox: &Arc<Inbox>) -> JoinHandle<Result<Reply>> {
    let inbox = Arc::clone(inbox);
    thread::spawn(move || inbox.ask(Work::Cancel(Uuid::nil())))
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

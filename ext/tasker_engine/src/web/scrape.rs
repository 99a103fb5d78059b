//! Owns: how often the text of `/metrics` is made: one at a time, for all who wait for it, and for a tenth of the time at
//! most. Refuses: a text that is older than the question.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Mutex;

/// How many times as long as a text took nothing is made after it.
const REST: u32 = 9;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The text of the metrics, and when the next one may be made.
pub(super) struct Scrape {
    make: fn() -> String,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// When its making began.
    began: Option<Instant>,
    rest_until: Option<Instant>,
    text: Bytes,
}

impl Scrape {
    pub(super) fn new(make: fn() -> String) -> Scrape {
        Scrape { make, last: Mutex::default() }
    }

    /// The metrics as they are at some moment after the question.
    pub(super) async fn text(&self) -> Bytes {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if last.began.is_some_and(|began| began >= asked) {
            return last.text.clone();
        }
        if let Some(until) = last.rest_until {
            tokio::time::sleep_until(until.into()).await;
        }
        let began = Instant::now();
        last.text = Bytes::from((self.make)());
        last.began = Some(began);
        last.rest_until = Some(Instant::now() + (began.elapsed() * REST).min(LONGEST_REST));
        last.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{mpsc, Arc};
    use std::task::{Context, Waker};

    use super::*;

    static MADE: AtomicUsize = AtomicUsize::new(0);
    static GATE: std::sync::Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>> = std::sync::Mutex::new(None);

    /// Takes as long as the test wants, the first time.
    fn text() -> String {
        if let Some((began, go_on)) = GATE.lock().unwrap().take() {
            began.send(()).unwrap();
            go_on.recv().unwrap();
        }
        format!("text {}", MADE.fetch_add(1, Ordering::SeqCst) + 1)
    }

    #[test]
    fn all_who_ask_meanwhile_share_the_next_text_and_none_gets_an_older_one() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ((began, begun), (go, go_on)) = (mpsc::channel(), mpsc::channel());
        *GATE.lock().unwrap() = Some((began, go_on));
        let scrape = Arc::new(Scrape::new(text));
        let first = runtime.spawn({
            let scrape = Arc::clone(&scrape);
            async move { scrape.text().await }
        });
        begun.recv().unwrap();
        let mut others: Vec<_> = (0..16).map(|_| Box::pin(scrape.text())).collect();
        for other in &mut others {
            assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        go.send(()).unwrap();
        assert_eq!(runtime.block_on(first).unwrap(), "text 1");
        for other in others {
            assert_eq!(runtime.block_on(other), "text 2");
        }
        let rest_until = runtime.block_on(scrape.last.lock()).rest_until;
        assert_eq!(runtime.block_on(scrape.text()), "text 3", "asked after the second was made");
        assert!(runtime.block_on(scrape.last.lock()).began >= rest_until, "and made after its rest");
    }
}

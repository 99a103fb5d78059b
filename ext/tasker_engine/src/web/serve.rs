//! Owns: connections from accept to close: HTTP/1 alone, each step of a client with a time limit. Refuses: HTTP/2, large
//! heads of requests, and clients that take their time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{service_fn, Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::connections::{Connections, Seat};

/// How long the head of a request may take to come, the first one of a connection and each later one.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection is used; the client makes another one.
const CONNECTION: Duration = Duration::from_secs(60);
/// How long a request that is being answered may go on after its connection's time, or the server's.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Bytes of a request's head, and header lines in it.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
/// How long the process's lack of file descriptors, or of memory, is given to pass.
const NO_RESOURCES: Duration = Duration::from_millis(100);

/// Serves `router` until `stop` is gone.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<()>) {
    let connections = Arc::new(Connections::default());
    let mut refused = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // The client has gone again.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => continue,
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!(%error, "Web server cannot accept connections; trying again");
                }
                tokio::time::sleep(NO_RESOURCES).await;
                continue;
            }
        };
        refused = false;
        let (seat, ended) = tokio::select! {
            entered = connections.enter() => entered,
            _ = stop.changed() => return,
        };
        tokio::spawn(connection(stream, router.clone(), seat, ended, stop.clone()));
    }
}

/// Serves one connection until its client, its time or the server ends it, or it has to make room for another one.
async fn connection(
    stream: TcpStream,
    router: Router,
    seat: Seat,
    ended: oneshot::Receiver<()>,
    mut stop: watch::Receiver<()>,
) {
    // Small answers at once; a socket that refuses is slower, no more.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let seat = &seat;
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        seat.answering(true);
        let answer = router.call(request.map(axum::body::Body::new));
        async move {
            let answer = answer.await;
            seat.answering(false);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let serving = http.serve_connection(TokioIo::new(stream), answer);
    let mut serving = std::pin::pin!(serving);
    // How a connection ends is its client's affair: nothing here tells of it.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = ended => return,
        _ = tokio::time::sleep(CONNECTION) => {}
        _ = stop.changed() => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, serving).await;
}

//! Owns: the worker's web server: a task on the Tokio runtime that answers for health and metrics. Refuses: the store:
//! every answer is made from what the engine's thread has published, so that none can hang; to stop a worker: without
//! a port it goes on without a server; and to take more of the process than its share, whoever asks (`serve`,
//! `connections`, `scrape`).
//!
//! # Routes
//! `GET /health`, `/health/ready`, `/health/live` (`health`); `/metrics`, `/metrics/events`, `/metrics/worker`
//! (`metrics`). Probes are answered to everybody, the rest to who may ask (`auth`).

mod auth;
mod body;
mod connections;
mod health;
mod metrics;
mod scrape;
mod serve;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{from_fn, from_fn_with_state, Next};
use axum::response::Response;
use axum::routing::get;
use axum::Router;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::WebSettings;
use crate::engine::Monitor;
use auth::Access;
use scrape::Scrape;

/// The routes there are: what a request's metric is labelled with.
const ROUTES: [&str; 6] =
    ["/health", "/health/ready", "/health/live", "/metrics", "/metrics/events", "/metrics/worker"];

/// What every handler works with.
#[derive(Clone)]
struct Served {
    monitor: Arc<Monitor>,
    access: Access,
    scrape: Arc<Scrape>,
}

/// A running server. Ends with the value.
pub(crate) struct Web {
    address: SocketAddr,
    fd: RawFd,
    /// Without it the server stops.
    _running: watch::Sender<()>,
}

impl Web {
    /// Starts a server on `runtime`; `None` when it is not wanted, or cannot be had, which is one line.
    pub(crate) fn start(runtime: &Handle, settings: WebSettings, monitor: Arc<Monitor>) -> Option<Web> {
        if !settings.enabled {
            return None;
        }
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        match listen(runtime, &settings) {
            Ok((listener, address)) => {
                let fd = listener.as_raw_fd();
                let (running, stop) = watch::channel(());
                let app = router(Served {
                    monitor,
                    access: Access::of(settings),
                    scrape: Arc::new(Scrape::new(tasker_telemetry::prometheus_text)),
                });
                runtime.spawn(serve::serve(listener, app, stop));
                tracing::info!(%address, "Web server listens");
                Some(Web { address, fd, _running: running })
            }
            Err(error) => {
                tracing::warn!(
                    address = %settings.address, %error,
                    "Web server not started; the worker goes on without it. Set TASKER_WEB_PORT (0 is any free one), or TASKER_WEB_ENABLED=false"
                );
                None
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listening socket: a forked child closes its copy, by this number. It must not drop the listener: Tokio would
    /// take the socket out of the epoll set, which is the parent's too.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }
}

fn listen(runtime: &Handle, settings: &WebSettings) -> std::io::Result<(tokio::net::TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(settings.address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let _context = runtime.enter();
    Ok((tokio::net::TcpListener::from_std(listener)?, address))
}

fn router(served: Served) -> Router {
    let [health, ready, live, all, events, worker] = ROUTES;
    Router::new()
        .route(health, get(health::health))
        .route(ready, get(health::ready))
        .route(live, get(health::live))
        .route(all, get(metrics::prometheus))
        .route(events, get(metrics::events))
        .route(worker, get(metrics::worker))
        .layer(from_fn(body::check))
        .layer(from_fn_with_state(served.clone(), auth::check))
        .layer(from_fn_with_state(served.clone(), measure))
        .with_state(served)
}

/// Counts and times the request.
async fn measure(State(_): State<Served>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let route = ROUTES.into_iter().find(|route| path.as_deref() == Some(*route)).unwrap_or("other");
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    tasker_telemetry::record::metrics::engine().web_request(route, response.status().as_u16(), milliseconds);
    response
}

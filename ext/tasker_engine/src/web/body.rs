//! Owns: what a request may bring: a head. Refuses: bodies; nothing here reads one.

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Bytes of a body that are put up with.
const BODY: u64 = 4 << 10;

pub(super) async fn check(request: Request, next: Next) -> Response {
    if request.body().size_hint().upper().is_some_and(|bytes| bytes <= BODY) {
        return next.run(request).await;
    }
    let close = [(CONNECTION, "close")];
    (StatusCode::PAYLOAD_TOO_LARGE, close, "Nothing here reads a body: ask without one\n").into_response()
}

//! Owns: who may ask: with a token set, only who brings it as `Authorization: Bearer …`. Refuses: to tell by its timing how
//! much of a guess was right.

use axum::extract::{Request, State};
use axum::http::header::{HeaderValue, AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Served;

pub(super) async fn check(State(served): State<Served>, request: Request, next: Next) -> Response {
    let Some(token) = &served.token else { return next.run(request).await };
    let given = request.headers().get(AUTHORIZATION).and_then(bearer).unwrap_or_default();
    if bool::from(given.ct_eq(token.0.as_bytes())) {
        return next.run(request).await;
    }
    let challenge = [(WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "Bring the token of TASKER_WEB_TOKEN: Authorization: Bearer TOKEN\n")
        .into_response()
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

//! Owns: who may ask for what. Probes (`/health…`) are answered to everybody, with no more than up or down. Everything else
//! is for who brings the token as `Authorization: Bearer …`; without a token, for this machine. Refuses: to tell by its
//! timing how much of a guess was right.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HeaderValue, AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Served;
use crate::config::{Token, WebSettings};

/// Who may see everything.
#[derive(Clone)]
pub(super) enum Access {
    /// Who reaches it: it listens on loopback, and there is no token.
    Everybody,
    /// Who brings the token.
    Bearer(Arc<Token>),
    /// Nobody: other machines reach it, and there is no token.
    Nobody,
}

/// Whether the answer may say more than up or down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted(pub(super) bool);

impl Access {
    pub(super) fn of(settings: WebSettings) -> Access {
        match settings.token {
            Some(token) => Access::Bearer(Arc::new(token)),
            None if settings.address.ip().is_loopback() => Access::Everybody,
            None => Access::Nobody,
        }
    }

    fn trusts(&self, headers: &HeaderMap) -> bool {
        match self {
            Access::Everybody => true,
            Access::Nobody => false,
            Access::Bearer(token) => {
                let given = headers.get(AUTHORIZATION).and_then(bearer).unwrap_or_default();
                given.ct_eq(token.0.as_bytes()).into()
            }
        }
    }
}

pub(super) async fn check(State(served): State<Served>, mut request: Request, next: Next) -> Response {
    let trusted = served.access.trusts(request.headers());
    let path = request.uri().path();
    if trusted || path == "/health" || path.starts_with("/health/") {
        request.extensions_mut().insert(Trusted(trusted));
        return next.run(request).await;
    }
    let hint = match served.access {
        Access::Nobody => "Set TASKER_WEB_TOKEN: without it only /health is answered beyond this machine\n",
        _ => "Bring the token of TASKER_WEB_TOKEN: Authorization: Bearer TOKEN\n",
    };
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], hint).into_response()
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

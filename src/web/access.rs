//! Who may ask: with a token set, whoever knows it.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::Site;
use crate::secret::Secret;

pub(super) async fn check(State(site): State<Site>, request: Request, next: Next) -> Response {
    let Some(token) = &site.token else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if given.is_some_and(|given| is_same(given, token)) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    let why = "send the token of `web.token` as `Authorization: Bearer`\n";
    (StatusCode::UNAUTHORIZED, challenge, Body::from(why)).into_response()
}

/// Compares hashes: how long it takes tells nothing of the token.
fn is_same(given: &str, token: &Secret) -> bool {
    Sha256::digest(given) == Sha256::digest(token.expose())
}

//! A JWT that says by which means its user has logged in, and when.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware::Next, middleware::from_fn, response::Response, routing::get};
use http::{StatusCode, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::{
    peers::{is_recent, now},
    random,
    server::{Headers, handler},
};

#[derive(Deserialize, Serialize)]
struct Claims {
    sub: String,
    sid: String,
    acr: String,
    auth_time: u64,
    exp: u64,
}

pub(crate) fn routes(sessions: usize, headers: &mut Headers) -> Router {
    let secret = [7; 32];
    let signing = EncodingKey::from_secret(&secret);
    for index in 0..sessions {
        let claims = Claims {
            sub: format!("user-{index:031x}"),
            sid: format!("{:036x}", random::number(index)),
            acr: "stepped-up".into(),
            auth_time: now(),
            exp: now() + 24 * 3600,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &signing).unwrap();
        headers.print(index, format_args!("authorization: Bearer {token}"));
    }
    let keys = Arc::new((DecodingKey::from_secret(&secret), Validation::new(Algorithm::HS256)));
    let check = from_fn(move |request: Request, next: Next| {
        let keys = Arc::clone(&keys);
        async move {
            let value = request.headers().get(AUTHORIZATION).ok_or(StatusCode::UNAUTHORIZED)?;
            let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
            let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
            let claims = decode::<Claims>(token, &keys.0, &keys.1).map_err(|_| StatusCode::UNAUTHORIZED)?.claims;
            if claims.acr != "stepped-up" || !is_recent(claims.auth_time) {
                return Err(StatusCode::FORBIDDEN);
            }
            Ok::<Response, StatusCode>(next.run(request).await)
        }
    });
    Router::new().route("/jwt", get(handler).layer(check))
}

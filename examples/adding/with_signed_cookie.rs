//! An app whose login is a signed cookie, by axum-extra 0.12. The lines marked `// +` add a step-up to it.
//! The choice of session id is explained in docs/sessions.md.

use axum::extract::{Extension, Path, Request};
use axum::middleware::{Next, from_fn_with_state};
use axum::{Router, http::StatusCode, response::Response, routing::post};
use axum_extra::extract::cookie::{Cookie, Key, SameSite, SignedCookieJar};
use tower_step_up::{Binding, Caller, ConfigError, Page, RequireStepUp, StepUp, discard}; // +

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(Key::generate())?).await?)
}

pub(crate) fn app(key: Key) -> Result<Router, ConfigError> {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).public_path("/stepup/challenges").build()?; // +
    Ok(Router::new()
        .route("/transfers", post(async || "paid"))
        .route_layer(RequireStepUp::new(&step_up).page(Binding::uri_as_received)?) // +
        .nest_service("/stepup/challenges", step_up.challenges().with_page(Page::new())?) // +
        .route("/accounts", post(accounts))
        .route("/login/{user}", post(login))
        .route("/logout", post(logout))
        .layer((Extension(step_up), from_fn_with_state(key.clone(), identify))) // +
        .with_state(key))
}

// + this function
async fn identify(jar: SignedCookieJar, mut request: Request, next: Next) -> Response {
    if let Some((user, id)) = login_of(&jar) {
        request.extensions_mut().insert(Caller::user(user).session(id));
    }
    next.run(request).await
}

/// The user and the random id of their login, if this server has signed the cookie as a login.
fn login_of(jar: &SignedCookieJar) -> Option<(String, String)> {
    let cookie = jar.get("login")?;
    let (user, id) = cookie.value().strip_prefix("login:")?.rsplit_once(':')?;
    Some((user.to_owned(), id.to_owned()))
}

async fn accounts(jar: SignedCookieJar) -> Result<String, StatusCode> {
    login_of(&jar).map(|(user, _)| user).ok_or(StatusCode::UNAUTHORIZED)
}

async fn login(Path(user): Path<String>, jar: SignedCookieJar) -> Result<SignedCookieJar, StatusCode> {
    let id = getrandom::u64().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let cookie = Cookie::build(("login", format!("login:{user}:{id:016x}")));
    Ok(jar.add(cookie.path("/").http_only(true).secure(true).same_site(SameSite::Strict)))
}

type Ours = (Extension<StepUp>, Option<Extension<Caller>>); // +

// + the second parameter
async fn logout(jar: SignedCookieJar, (step_up, caller): Ours) -> Result<SignedCookieJar, StatusCode> {
    step_up.revoke(&caller.ok_or(StatusCode::UNAUTHORIZED)?.0).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?; // +
    Ok(jar.remove(Cookie::build("login").path("/")))
}

//! The bank without script: forms, and the pages that answer them. Where a form needs a step-up, the guard leads to the
//! page of tower-step-up, and that back to the form.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::Value;

use super::{
    Bank, Transfer,
    reply::Problem,
    site,
    users::{self, Credentials, LoggedIn},
};

const FORMS: &str = "/transfers/form";

/// The field of a form, where it is there once.
fn field(form: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(form).filter(|(known, _)| known == name);
    let (Some((_, value)), None) = (values.next(), values.next()) else { return None };
    Some(value.into_owned())
}

/// The payment in a form.
pub(super) fn payment(form: &[u8]) -> Option<Transfer> {
    Some(Transfer { to: field(form, "to")?, amount: Value::String(field(form, "amount")?) })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Small Bank: {title}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/page.css">
</head>
<body>
  <header class="top"><p class="brand">Small Bank <span>without JavaScript</span></p></header>
  <main><h1>{title}</h1>{body}</main>
</body>
</html>
"#
    );
    site::html(status, text)
}

fn fields(to: &str, amount: &str) -> String {
    format!(
        r#"<label>To <input name="to" value="{to}" maxlength="128" autocomplete="off" required></label>
<label>Amount in EUR <input name="amount" value="{amount}" pattern="[0-9]{{1,7}}([.][0-9]{{1,2}})?" title="such as {amount}"
  inputmode="decimal" autocomplete="off" required></label>"#
    )
}

fn login_page(status: StatusCode, note: &str) -> Response {
    let note = if note.is_empty() { String::new() } else { format!(r#"<p class="note bad" role="alert">{note}</p>"#) };
    let form = r#"<form method="post" action="/login/form" class="panel">
<label>Name <input name="username" value="alice" autocomplete="username" autocapitalize="none" required></label>
<label>Password <input name="password" type="password" value="alice" autocomplete="current-password" required></label>
<p class="row"><button class="main">Log in</button></p>
<p class="hint">The password is the name.</p></form>"#;
    page(status, "Log in", &(note + form))
}

/// `GET /login/form`.
pub(super) async fn login_form() -> Response {
    login_page(StatusCode::OK, "")
}

/// `POST /login/form`.
pub(super) async fn login(State(bank): State<Bank>, form: Bytes) -> Response {
    let (username, password) = (field(&form, "username"), field(&form, "password"));
    let credentials = Credentials { username: username.unwrap_or_default(), password: password.unwrap_or_default() };
    match users::enter(&bank, credentials).await {
        Ok(token) => (users::cookie(&token), Redirect::to(FORMS)).into_response(),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            login_page(problem.status(), "Wrong name or password.")
        }
        Err(problem) => failed(&problem),
    }
}

/// `POST /logout/form`.
pub(super) async fn logout(bank: State<Bank>, caller: LoggedIn, headers: HeaderMap) -> Response {
    match users::logout(bank, caller, headers).await {
        Ok((_, cleared)) => (cleared, Redirect::to("/login/form")).into_response(),
        Err(problem) => failed(&problem),
    }
}

/// `GET /transfers/form`: what can be done here.
pub(super) async fn forms(State(bank): State<Bank>, caller: Result<LoggedIn, Problem>) -> Response {
    let Ok(LoggedIn(caller)) = caller else { return Redirect::to("/login/form").into_response() };
    let balance = match bank.balance(&caller).await {
        Ok(balance) => balance,
        Err(problem) => return failed(&problem),
    };
    let body = format!(
        r#"<p>Current account: <b class="digits">{balance} EUR</b></p>
<form method="post" action="{FORMS}" class="panel"><h2>Send money</h2>
<div class="fields">{}</div><p class="row"><button class="main">Send</button></p></form>
<form method="post" action="/payouts/form" class="panel"><h2>Pay out, bound to payee and amount</h2>
<div class="fields">{}</div><p class="row"><button class="main">Pay out</button></p></form>
<div class="panel"><h2>Card</h2><p><a href="/cards/1">Show the card</a></p></div>
<p class="hint">In the sandbox the code is <b>123456</b>. A push is answered on
<a href="/phone" target="_blank">the phone</a>, which opens beside this page.</p>
<form method="post" action="/logout/form"><button>Log out</button></form>"#,
        fields("bob", "10.00"),
        fields("carol", "250.00"),
    );
    page(StatusCode::OK, &format!("Hello, {}", escape(caller.subject())), &body)
}

/// `POST /transfers/form` and `/payouts/form`: guarded as `/transfers` and `/payouts` are.
pub(super) async fn pay(bank: State<Bank>, caller: LoggedIn, form: Bytes) -> Response {
    let sent = match payment(&form) {
        Some(payment) => super::send(bank, caller, Json(payment)).await,
        None => Err(Problem::invalid("to", "REQUIRED")),
    };
    match sent {
        Ok((status, Json(sent))) => {
            let text = |name: &str| escape(sent[name].as_str().unwrap_or_default());
            let body = format!(
                r#"<p class="note good">Paid {} EUR to {}.</p><p><a href="{FORMS}">Back</a></p>"#,
                text("amount"),
                text("to")
            );
            page(status, "Paid", &body)
        }
        Err(problem) => failed(&problem),
    }
}

/// + `GET /phone`: the user's phone, which shows what is pending and asks again every four seconds.
pub(super) async fn phone(State(bank): State<Bank>, LoggedIn(caller): LoggedIn) -> Response {
    let Ok(status) = bank.step_up.status(&caller).await else { return failed(&Problem::unavailable()) };
    let approves =
        |operation: Option<String>| escape(&operation.unwrap_or("your session, and no single payment".into()));
    let code = status.pending_otp.map(|code| {
        format!(r#"<p class="panel">123456 is your code. It approves: <b>{}</b></p>"#, approves(code.operation))
    });
    let push = status.pending_push.map(|push| {
        let button = |answer: &str, text: &str| {
            format!(
                r#"<form method="post" action="/simulate/push/{}/{answer}"><button>{text}</button></form>"#,
                push.id
            )
        };
        let buttons = button("accept", "Accept") + &button("decline", "Decline");
        let approves = approves(push.operation.clone());
        format!(r#"<div class="panel"><p>Do you approve: <b>{approves}</b></p><div class="row">{buttons}</div></div>"#)
    });
    let nothing = "<p>Nothing has arrived.</p>".to_owned();
    let shown = [code, push].into_iter().flatten().reduce(|code, push| code + &push).unwrap_or(nothing);
    let mut response = page(StatusCode::OK, "The phone", &shown);
    response.headers_mut().insert("refresh", axum::http::HeaderValue::from_static("4"));
    response
}

fn failed(problem: &Problem) -> Response {
    let text = match problem.status() {
        StatusCode::UNAUTHORIZED => "You are not logged in.",
        StatusCode::BAD_REQUEST => "Check the payee and the amount. Nothing was sent.",
        _ => "This does not work at the moment. Try again.",
    };
    page(problem.status(), "Not done", &format!(r#"<p class="note bad">{text}</p><p><a href="{FORMS}">Back</a></p>"#))
}

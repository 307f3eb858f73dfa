//! Pays at the demo from a terminal: start `cargo run --example demo`, then
//! `cargo run -p tower-step-up-client --example pay`.
//!
//! `DEMO` is the address of the demo, and `USER_NAME` who pays. A transfer asks for a step-up of the last two minutes,
//! and a payout for one that is bound to it. The demo sends nothing, and its code is 123456.

use std::{env, io, io::Write, process::ExitCode, time::SystemTime};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::sleep};
use tower::Layer;
use tower_step_up_client::{
    BoxError, Challenges, Error, Prompt, PromptError, Requirement, StepUpClient, StepUpService,
    adapters::reqwest::Reqwest,
};

/// Asks on the terminal.
struct Terminal;

impl Prompt for Terminal {
    async fn prompt(&self, requirement: &Requirement, challenges: &Challenges) -> Result<(), PromptError> {
        if let Some(operation) = requirement.operation() {
            println!("  To approve: {operation}");
        }
        let channel = requirement.channels().otp.first().ok_or_else(|| PromptError::other("no codes are accepted"))?;
        while let Err(error) = challenges.start(channel).await {
            // A code was sent a moment ago, and the next may be after a few seconds.
            let soon = error.code().is_some_and(|code| code.starts_with("RETRY_IN_"));
            let Some(wait) = error.retry_after().filter(|_| soon) else { return Err(error.into()) };
            println!("  {error}");
            sleep(wait).await;
        }
        loop {
            let code = ask(&format!("  Code from {channel} (empty to cancel): ")).await?;
            if code.is_empty() {
                // Where this fails, the code expires by itself.
                let _ = challenges.cancel(channel).await;
                return Err(PromptError::Cancelled);
            }
            let Err(error) = challenges.verify(channel, &code).await else { return Ok(()) };
            match error.code() {
                Some("VERIFICATION_CODE_INVALID" | "ONE_CHALLENGE_LIMIT_REMAINING" | "INVALID_REQUEST") => {
                    println!("  {error}");
                }
                _ => return Err(error.into()),
            }
        }
    }

    async fn confirm_spent(&self, _: Option<SystemTime>, requirement: &Requirement) -> bool {
        println!("  Done already: {}", requirement.operation().unwrap_or("this request"));
        ask("  Once more? (yes/no): ").await.is_ok_and(|answer| answer == "yes")
    }
}

/// A line from the terminal; at its end, the user has cancelled.
async fn ask(question: &str) -> Result<String, PromptError> {
    print!("{question}");
    io::stdout().flush().map_err(PromptError::other)?;
    let read = spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|length| (length, line))
    });
    match read.await.map_err(PromptError::other)?.map_err(PromptError::other)? {
        (0, _) => Err(PromptError::Cancelled),
        (_, line) => Ok(line.trim().to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match pay().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn pay() -> Result<(), BoxError> {
    let demo = env::var("DEMO").unwrap_or_else(|_| "http://127.0.0.1:3000".into());
    let name = env::var("USER_NAME").unwrap_or_else(|_| "alice".into());
    let http = Client::new();

    let credentials = json!({ "username": name, "password": name });
    let login = post(&http, &format!("{demo}/login"), &credentials).send().await?.error_for_status()?;
    let login: Value = serde_json::from_slice(&login.bytes().await?)?;
    let token = login["token"].as_str().ok_or("the demo gave no token")?;

    let client = StepUpClient::new(Terminal).layer(Reqwest::new(http.clone()));
    for (path, to, amount) in [("transfers", "bob", 10), ("payouts", "carol", 250)] {
        println!("POST /{path}: {amount} EUR to {to}");
        let request = post(&http, &format!("{demo}/{path}"), &json!({ "to": to, "amount": amount }));
        send(&client, request.bearer_auth(token).build()?).await?;
    }
    Ok(())
}

fn post(http: &Client, url: &str, body: &Value) -> reqwest::RequestBuilder {
    http.post(url).header("content-type", "application/json").body(body.to_string())
}

async fn send(client: &StepUpService<Reqwest, Terminal>, request: reqwest::Request) -> Result<(), Error> {
    let response = client.execute(request).await?;
    let status = response.status();
    let body = response.text().await.map_err(|error| Error::Inner(error.into()))?;
    println!("  {status} {body}");
    Ok(())
}

//! A small bank whose transfers require a step-up: run `cargo run --example demo` and open the address it prints.
//!
//! It listens on 127.0.0.1:3000, or on `DEMO_ADDR`. It uses the sandbox of tower-step-up, so nothing is sent and
//! nothing has to be installed. With `--features redis` and `DEMO_REDIS_URL`, such as
//! `redis://127.0.0.1/`, logins and step-ups are in Redis, and several demos behave as one. The bank itself is in
//! `bank.rs`.

mod bank;

use std::{env, io, io::Write, net::SocketAddr, process::ExitCode};

use tokio::net::TcpListener;
use tower_step_up::SystemClock;

#[tokio::main]
async fn main() -> ExitCode {
    let address = env::var("DEMO_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    match serve(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot serve on {address}: {error}; DEMO_ADDR=127.0.0.1:0 takes any free port");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // Ignore a closed stdout: the server keeps running.
    let _ = introduce(&mut io::stdout().lock(), address);
    let bank = match env::var("DEMO_REDIS_URL") {
        Ok(url) => {
            bank::app_on(SystemClock, &url).map_err(|error| io::Error::other(format!("DEMO_REDIS_URL: {error}")))?
        }
        Err(_) => bank::app(SystemClock),
    };
    axum::serve(listener, bank).await
}

/// Commands to paste into a shell, in this order.
fn introduce(out: &mut impl Write, address: SocketAddr) -> io::Result<()> {
    let json = "-H 'content-type: application/json'";
    let auth = "-H \"authorization: Bearer $TOKEN\"";
    let transfer = format!("curl -i $BANK/transfers {auth} {json} -d '{{\"to\":\"bob\",\"amount\":10}}'; echo");
    let payout = format!("curl -i $BANK/payouts {auth} {json} -d '{{\"to\":\"carol\",\"amount\":250}}'; echo");
    write!(
        out,
        r#"listening on http://{address}

Open it in a browser, or paste these lines into a shell, one by one:

# Log in. The password is the name; alice has a phone enrolled.
BANK=http://{address}
TOKEN=$(curl -s $BANK/login {json} -d '{{"username":"alice","password":"alice"}}' | sed 's/.*:"//; s/".*//')

# A transfer is refused: 403 STEP_UP_REQUIRED, and the answer says where to start.
{transfer}

# Step up with a code. The sandbox sends nothing, and its code is always 123456.
curl -i -X POST $BANK/stepup/challenges/otp/SMS {auth}
curl -i $BANK/stepup/challenges/otp/SMS/verify {auth} {json} -d '{{"verificationCode":"123456"}}'

# The same transfer passes, with the same token: 201.
{transfer}

# Or step up with a push: start it, accept it on the phone, poll its status.
PUSH=$(curl -s -X POST $BANK/stepup/challenges/push/BIOMETRIC {auth} | tr -cd 0-9); echo $PUSH
curl -i -X POST $BANK/simulate/push/$PUSH/accept
curl -i $BANK/stepup/challenges/push/BIOMETRIC/$PUSH {auth}; echo

# A payout asks for a step-up of its own: the refusal holds a binding, the start takes it, and the grant opens this
# payout, once. A second request is refused as spent, and another amount as a mismatch.
{payout}
BINDING=$(curl -s $BANK/payouts {auth} {json} -d '{{"to":"carol","amount":250}}' | sed 's/.*"binding":"//; s/".*//')
PUSH=$(curl -s $BANK/stepup/challenges/push/BIOMETRIC {auth} {json} -d "{{\"binding\":\"$BINDING\"}}" | tr -cd 0-9)
curl -i -X POST $BANK/simulate/push/$PUSH/accept
{payout}
{payout}

# Read the status. Then drop the elevation, and log out.
curl -i $BANK/stepup/challenges {auth}; echo
curl -i -X DELETE $BANK/stepup/challenges {auth}
curl -i -X POST $BANK/logout {auth}
"#
    )?;
    out.flush()
}

//! The users' phones: their enrollment, and a simulated phone that receives pushes.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tower_step_up::{Caller, Enrollment, EnrollmentError, PushReply, PushReplyError, Recipient};

use super::{
    Bank,
    reply::Problem,
    users::{Account, LoggedIn, Users},
};

/// The code that confirms a phone in this demo.
const CODE: &str = "123456";

// + tower-step-up asks the bank for a user's channels and recipients.
impl Enrollment for Users {
    async fn resolve(&self, caller: &Caller, channel: &str) -> Result<Recipient, EnrollmentError> {
        let name = caller.subject();
        let begins = |with: &str| name.starts_with(with);
        let phone = self.with(name, |account| account.phone.clone()).await.map_err(|_| EnrollmentError::Unavailable)?;
        match channel {
            _ if begins("dave") => Err(EnrollmentError::Forbidden),
            "SMS" if begins("carol") => Err(EnrollmentError::NotSupported),
            // + A normalized number, so that all spellings of a number share one send budget.
            "SMS" if phone.is_some() || !begins("alice") => {
                Recipient::phone(phone.ok_or(EnrollmentError::NotEnrolled)?).map_err(|_| EnrollmentError::NotEnrolled)
            }
            // + How the user is shown it; the bank knows the number.
            "SMS" => Ok(Recipient::new(format!("the number of {name}")).display("•••• 0111")),
            "BIOMETRIC" if begins("alice") || begins("carol") => Ok(Recipient::new(format!("the phone of {name}"))),
            _ => Err(EnrollmentError::NotEnrolled),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Phone {
    number: String,
}

/// `POST /authentication_factors/otp/{channel}`: sends a code to a new phone (in this demo, to nobody).
///
/// A real bank requires a step-up here as soon as one channel is enrolled. Otherwise an attacker with a stolen session
/// could enroll their own phone and step up with it.
pub(super) async fn enrol(
    State(bank): State<Bank>,
    LoggedIn(caller): LoggedIn,
    Path(channel): Path<String>,
    phone: Result<Json<Phone>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    check(&channel)?;
    let Json(Phone { number }) = phone?;
    // + A value that cannot be normalized is not a phone number.
    let phone = Recipient::phone(number).map_err(|_| Problem::invalid("number", "REGEX"))?;
    let number = phone.as_str().map(str::to_owned);
    bank.users.with(caller.subject(), |account| account.unconfirmed_phone = number).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Confirmation {
    verification_code: String,
}

/// `POST /authentication_factors/otp/{channel}/verify`: enrolls the phone for the user.
pub(super) async fn confirm(
    State(bank): State<Bank>,
    LoggedIn(caller): LoggedIn,
    Path(channel): Path<String>,
    confirmation: Result<Json<Confirmation>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    check(&channel)?;
    let Json(Confirmation { verification_code }) = confirmation?;
    let confirm = |account: &mut Account| {
        if account.unconfirmed_phone.is_none() {
            return Err(Problem::conflict("STATE_INVALID", "No phone is being enrolled"));
        }
        if verification_code != CODE {
            return Err(Problem::conflict("VERIFICATION_CODE_INVALID", "The code is wrong"));
        }
        account.phone = account.unconfirmed_phone.take();
        Ok(())
    };
    bank.users.with(caller.subject(), confirm).await??;
    // + Codes sent to the old phone are no longer accepted, and other sessions must step up again.
    bank.step_up.factors_changed(&caller).await.map_err(|_| Problem::unavailable())?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(channel: &str) -> Result<(), Problem> {
    if channel == "SMS" { Ok(()) } else { Err(Problem::invalid("channel", "NOT_IN")) }
}

/// The number that the user typed on their phone, if the policy uses number matching.
#[derive(Default, Deserialize)]
struct Typed {
    number: Option<String>,
}

/// `POST /simulate/push/{id}/accept`.
pub(super) async fn accept(State(bank): State<Bank>, Path(id): Path<String>, body: Bytes) -> Answered {
    let yes = typed(&body)?.number.map_or(PushReply::Approve, PushReply::Number);
    answer(&bank, &id, &yes).await
}

/// `POST /simulate/push/{id}/decline`.
pub(super) async fn decline(State(bank): State<Bank>, Path(id): Path<String>, body: Bytes) -> Answered {
    typed(&body)?;
    answer(&bank, &id, &PushReply::Decline).await
}

fn typed(body: &[u8]) -> Result<Typed, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(Typed::default());
    }
    let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Problem::invalid("body", "REGEX"))?;
    serde_json::from_value(Value::Object(fields)).map_err(|_| Problem::invalid("number", "REGEX"))
}

type Answered = Result<StatusCode, Problem>;

/// The answer from the phone. This demo accepts it from any client that knows the id; a real bank authenticates the
/// phone and answers only for its user.
async fn answer(bank: &Bank, id: &str, answer: &PushReply) -> Answered {
    for name in bank.users.names().await? {
        // + The user's answer.
        match bank.step_up.answer_push(&name, id, answer.clone()).await {
            Ok(()) => return Ok(StatusCode::NO_CONTENT),
            Err(PushReplyError::Unknown) => {}
            Err(PushReplyError::Unavailable) => return Err(Problem::unavailable()),
            Err(_) => break,
        }
    }
    Err(Problem::conflict("STATE_INVALID", "This push can no longer be answered"))
}

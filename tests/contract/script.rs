//! Scripts: a list of steps of several sessions, with the expected responses.

use axum::body::Bytes;

use crate::app::{Answer, App, RIGHT, Session, WRONG};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// `POST /otp/SMS`
    Start,
    /// `POST /otp/SMS/verify` with a wrong code
    Wrong,
    /// … with the right one
    Right,
    /// `POST /push/BIOMETRIC`
    Push,
    /// `GET` of the last push of this session
    Poll,
    /// The phone answers that push
    Accept,
    Decline,
    /// `GET /`
    Status,
    /// `DELETE /`
    Delete,
    /// A guarded route of the demo
    Card,
    Transfer,
    Logout,
    /// The same user logs in again and goes on in the new session
    Login,
    /// Advances the clock by seconds
    Wait(u64),
    /// Advances the clock by milliseconds
    Millis(u64),
}

pub(crate) use Step::*;

/// One line of a script: the index of the session, the step, and the expected [`Answer::summary`], empty for waits.
pub(crate) type Line<'a> = (usize, Step, &'a str);

/// Runs a script on a new demo. `users` names the user of each session.
pub(crate) async fn run_script(name: &str, users: &[&str], lines: &[Line<'_>]) {
    let app = App::demo();
    let mut stage = Stage::new(&app, users).await;
    for (number, &(actor, step, expected)) in lines.iter().enumerate() {
        let summary = stage.act(actor, step).await.map_or_else(String::new, |answer| answer.summary());
        assert_eq!(summary, expected, "{name}, line {number}: {actor} {step:?}");
    }
}

pub(crate) struct Stage {
    app: App,
    actors: Vec<Actor>,
}

struct Actor {
    user: String,
    session: Session,
    push: String,
}

impl Stage {
    pub(crate) async fn new(app: &App, users: &[&str]) -> Self {
        let mut actors = Vec::new();
        for &user in users {
            actors.push(Actor { user: user.to_owned(), session: app.login(user).await, push: String::new() });
        }
        Self { app: app.clone(), actors }
    }

    pub(crate) async fn act(&mut self, actor: usize, step: Step) -> Option<Answer> {
        let Actor { user, session, push } = &mut self.actors[actor];
        let answer = match step {
            Start => session.start().await,
            Wrong => session.verify(WRONG).await,
            Right => session.verify(RIGHT).await,
            Push => {
                let answer = session.challenge("POST", "/push/BIOMETRIC").send().await;
                if answer.status.is_success() {
                    answer.json()["id"].as_str().expect("an id").clone_into(push);
                }
                answer
            }
            Poll => session.poll(push).await,
            // For these the contract specifies only the status.
            Accept => Answer { body: Bytes::new(), ..session.phone(push, "accept").await },
            Decline => Answer { body: Bytes::new(), ..session.phone(push, "decline").await },
            Status => session.status().await,
            Delete => session.drop_elevation().await,
            Card => session.card().await,
            Transfer => session.transfer().await,
            Logout => session.logout().await,
            Login => {
                *session = self.app.login(user).await;
                return None;
            }
            Wait(seconds) => {
                self.app.wait(seconds);
                return None;
            }
            Millis(millis) => {
                self.app.wait_millis(millis);
                return None;
            }
        };
        Some(answer)
    }
}

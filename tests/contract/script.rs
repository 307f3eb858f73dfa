//! Little plays: who does what, and what they are told.

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
    /// `GET` of the push that this session started last
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
    /// Seconds go by
    Wait(u64),
    /// Milliseconds go by
    Millis(u64),
}

pub(crate) use Step::*;

/// One line of a play: the actor (a place in the cast), the step, and what [`Answer::says`]. Waiting says nothing.
pub(crate) type Line<'a> = (usize, Step, &'a str);

/// Plays on a fresh demo. The cast names the user of each actor; every actor has a session.
pub(crate) async fn play(name: &str, cast: &[&str], lines: &[Line<'_>]) {
    let app = App::demo();
    let mut stage = Stage::new(&app, cast).await;
    for (number, &(actor, step, told)) in lines.iter().enumerate() {
        let says = stage.act(actor, step).await.map_or_else(String::new, |answer| answer.says());
        assert_eq!(says, told, "{name}, line {number}: {actor} {step:?}");
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
    pub(crate) async fn new(app: &App, cast: &[&str]) -> Self {
        let mut actors = Vec::new();
        for &user in cast {
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
                let answer = session.companion("POST", "/push/BIOMETRIC").send().await;
                if answer.status.is_success() {
                    answer.json()["id"].as_str().expect("an id").clone_into(push);
                }
                answer
            }
            Poll => session.poll(push).await,
            // Of these the contract promises the status.
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

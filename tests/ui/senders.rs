//! Senders and enrollments that are none: each is passed to the builder.

use tower_step_up::StepUp;

/// A client, which is no sender by itself.
#[derive(Clone)]
struct Client;

fn main() {
    let builder = StepUp::builder().otp("SMS", Client);
    builder.enrollment(Client);
}

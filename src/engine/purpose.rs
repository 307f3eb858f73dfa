//! What a step-up is for ([`Purpose`]).

use std::fmt;

/// What a step-up is for: a scope, or the one operation that a refusal has bound it to.
///
/// The default is the whole session, and `None` and `Some(scope)` serve where one is asked for.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Purpose, StepUp};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// # let caller = Caller::user("alice").session("1");
/// step_up.start_otp(&caller, "SMS", Purpose::new().scope("payments")).await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Purpose<'a> {
    pub(crate) scope: Option<&'a str>,
    pub(crate) binding: Option<&'a str>,
}

impl<'a> Purpose<'a> {
    /// The whole session.
    pub const fn new() -> Self {
        Self { scope: None, binding: None }
    }

    /// For this scope only: 1 to 128 visible ASCII characters.
    pub const fn scope(mut self, scope: &'a str) -> Self {
        self.scope = Some(scope);
        self
    }

    /// For one operation: the token from a refusal ([`Unmet::binding`](crate::Unmet::binding)). It knows the scope.
    pub const fn binding(mut self, token: &'a str) -> Self {
        self.binding = Some(token);
        self
    }
}

impl<'a> From<Option<&'a str>> for Purpose<'a> {
    fn from(scope: Option<&'a str>) -> Self {
        Self { scope, binding: None }
    }
}

/// Prints whether there is a binding and nothing of it: its text says who pays whom.
impl fmt::Debug for Purpose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purpose").field("scope", &self.scope).field("bound", &self.binding.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Proof;

    #[test]
    fn debug_prints_no_binding() {
        let purpose = Purpose::new().scope("pay").binding("canary");
        assert_eq!(format!("{purpose:?}"), r#"Purpose { scope: Some("pay"), bound: true }"#);
        let printed = format!("{:?}", Proof::new("KEY").purpose(purpose));
        assert!(printed.contains("KEY") && printed.contains("bound: true") && !printed.contains("canary"), "{printed}");
        assert!(format!("{:?}", Purpose::new()).contains("bound: false"));
    }
}

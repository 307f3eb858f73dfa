//! When a guard applies its requirement: [`RequireStepUp::when`](super::RequireStepUp::when).

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::catch::catch;

type OfRequest = dyn Fn(&Parts) -> bool + Send + Sync;

/// The application's predicate; without one, the guard applies to every request.
#[derive(Clone, Default)]
pub(super) struct Condition(Option<Arc<OfRequest>>);

impl Condition {
    pub(super) fn new(condition: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(condition)))
    }

    /// Whether the predicate must be evaluated for each request.
    pub(super) const fn is_conditional(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the guard requires a step-up for this request. A predicate that panics counts as `true`.
    pub(super) fn applies(&self, request: &Parts) -> bool {
        let Some(condition) = &self.0 else { return true };
        catch(|| condition(request)).unwrap_or(true)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_conditional() { "Condition(..)" } else { "Condition(always)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_fail_closed() {
        let request = http::Request::get("/").body(()).unwrap().into_parts().0;
        let when = |condition: fn(&Parts) -> bool| Condition::new(condition).applies(&request);
        assert!(when(|request| request.method == http::Method::GET));
        assert!(!when(|request| request.method == http::Method::POST));
        assert!(when(|_| panic!("the application's own")));
        assert!(Condition::default().applies(&request));
        assert_eq!((Condition::new(|_| true).is_conditional(), Condition::default().is_conditional()), (true, false));
    }
}

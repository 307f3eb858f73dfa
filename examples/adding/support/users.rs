//! The users of `with_axum_login.rs`: names and passwords in memory, in the form for axum-login.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum_login::{AuthUser, AuthnBackend};
use serde::Deserialize;

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    password: String,
}

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    /// A login is bound to the password: changing it ends the login. A real app returns a hash here.
    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
}

/// Every name has an account; the password is the name until it is changed.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<HashMap<String, String>>>);

impl Users {
    #[allow(dead_code, reason = "for the tests")]
    pub(crate) fn set_password(&self, name: &str, password: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), password.into());
    }

    fn user(&self, name: &str) -> User {
        let changed = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        User { name: name.into(), password: changed.unwrap_or_else(|| name.into()) }
    }
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = Credentials;
    type Error = Infallible;

    async fn authenticate(&self, given: Credentials) -> Result<Option<User>, Infallible> {
        Ok(Some(self.user(&given.name)).filter(|user| user.password == given.password))
    }

    async fn get_user(&self, name: &String) -> Result<Option<User>, Infallible> {
        Ok(Some(self.user(name)))
    }
}

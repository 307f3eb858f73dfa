//! The tokens of `with_jwt.rs`, by jsonwebtoken.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    /// The id of the login: random, and the same in every token issued for it later.
    pub(crate) sid: String,
    pub(crate) exp: u64,
}

#[derive(Clone)]
pub(crate) struct Tokens {
    secret: [u8; 32],
}

impl Default for Tokens {
    fn default() -> Self {
        Self { secret: random() }
    }
}

impl Tokens {
    #[allow(dead_code, reason = "for the tests")]
    pub(crate) fn secret(&self) -> [u8; 32] {
        self.secret
    }

    pub(crate) fn issue(&self, sub: String, sid: String) -> String {
        self.sign(&Claims { sub, sid, exp: get_current_timestamp() + 900 })
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(&self.secret)).expect("HS256 signs")
    }

    /// The claims, if signature, algorithm and expiry are valid.
    pub(crate) fn verify(&self, token: &str) -> Option<Claims> {
        let key = DecodingKey::from_secret(&self.secret);
        decode(token, &key, &Validation::new(Algorithm::HS256)).ok().map(|token| token.claims)
    }
}

/// 128 random bits.
pub(crate) fn random_id() -> String {
    format!("{:032x}", u128::from_be_bytes(random()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

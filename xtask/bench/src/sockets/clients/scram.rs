//! SCRAM-SHA-256 by hand: the limit of connecting.
//!
//! The same crypto as pg-auth's, and none of its care: names and passwords are plain ASCII, and the server's words are taken as
//! they come but for its nonce and its signature.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::sockets::place::{Kept, Place};

/// An exchange that has begun.
pub(crate) struct Scram {
    password: &'static str,
    kept: Option<Kept>,
    nonce: String,
    expected: [u8; 32],
}

impl Scram {
    /// Begins one.
    pub(crate) fn new(place: &Place) -> Result<Self> {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce)?;
        Ok(Self {
            password: place.password.context("no password")?,
            kept: place.kept.clone(),
            nonce: STANDARD.encode(nonce),
            expected: [0; 32],
        })
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,n=,r={}", self.nonce)
    }

    /// The client's last message, in answer to the server's first.
    pub(crate) fn last(&mut self, said: &[u8]) -> Result<String> {
        let said = std::str::from_utf8(said)?;
        let (nonce, salt, iterations) = attributes(said).context("a strange server")?;
        ensure!(nonce.starts_with(&self.nonce), "not our nonce");
        let salted = match self.kept.as_ref().and_then(|kept| kept.salted.get()) {
            Some(salted) => salted,
            None => derive(self.password, &STANDARD.decode(salt)?, iterations.parse()?),
        };
        if let Some(kept) = &self.kept {
            kept.salted.set(Some(salted));
        }
        let without_proof = format!("c=biws,r={nonce}");
        let exchange = format!("n=,r={},{said},{without_proof}", self.nonce);
        let key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(key), exchange.as_bytes());
        let mut proof = key;
        proof.iter_mut().zip(signature).for_each(|(key, signature)| *key ^= signature);
        self.expected = hmac(&hmac(&salted, b"Server Key"), exchange.as_bytes());
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Checks the server's last message.
    pub(crate) fn check(&self, said: &[u8]) -> Result<()> {
        let signature = said.strip_prefix(b"v=").context("a strange server")?;
        ensure!(STANDARD.decode(signature)? == self.expected, "the server has not proved itself");
        Ok(())
    }
}

/// Nonce, salt and iterations.
fn attributes(said: &str) -> Option<(&str, &str, &str)> {
    let mut parts = said.split(',');
    let nonce = parts.next()?.strip_prefix("r=")?;
    let salt = parts.next()?.strip_prefix("s=")?;
    Some((nonce, salt, parts.next()?.strip_prefix("i=")?))
}

/// What costs.
fn derive(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
    salted
}

/// HMAC-SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length will do"));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

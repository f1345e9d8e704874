//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS written by hand, for the hand-written client (the limit).
//!
//! This code uses the same cryptography as pg-auth, but checks less. The code assumes that names and passwords are ASCII. In the server's
//! messages, only the nonce and the signature are checked.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use crate::sockets::place::{Kept, Place};

/// The client side of a SCRAM exchange.
pub(crate) struct Scram {
    password: &'static str,
    kept: Option<Kept>,
    /// The hash of the server's certificate, if the exchange uses channel binding.
    end_point: Option<[u8; 32]>,
    nonce: String,
    expected: [u8; 32],
}

impl Scram {
    /// Begins an exchange. If `end_point`, the hash of the server's certificate, is not `None`, the exchange uses channel binding.
    pub(crate) fn new(place: &Place, end_point: Option<[u8; 32]>) -> Result<Self> {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce)?;
        Ok(Self {
            password: place.password.context("no password")?,
            kept: place.kept.clone(),
            end_point,
            nonce: STANDARD.encode(nonce),
            expected: [0; 32],
        })
    }

    /// The mechanism's name, as a C string.
    pub(crate) fn mechanism(&self) -> &'static [u8] {
        if self.end_point.is_some() { b"SCRAM-SHA-256-PLUS\0" } else { b"SCRAM-SHA-256\0" }
    }

    /// The GS2 header, which states whether the client uses channel binding.
    fn header(&self) -> &'static str {
        if self.end_point.is_some() { "p=tls-server-end-point,," } else { "n,," }
    }

    /// The client-first-message of SCRAM.
    pub(crate) fn first(&self) -> String {
        format!("{}n=,r={}", self.header(), self.nonce)
    }

    /// The client-final-message of SCRAM, which answers the server-first-message.
    pub(crate) fn last(&mut self, server_first: &[u8]) -> Result<String> {
        let server_first = std::str::from_utf8(server_first)?;
        let (nonce, salt, iterations) =
            attributes(server_first).context("the server's first SCRAM message is malformed")?;
        ensure!(nonce.starts_with(&self.nonce), "the server's nonce does not begin with the client's nonce");
        let salted = match self.kept.as_ref().and_then(|kept| kept.salted.get()) {
            Some(salted) => salted,
            None => derive(self.password, &STANDARD.decode(salt)?, iterations.parse()?),
        };
        if let Some(kept) = &self.kept {
            kept.salted.set(Some(salted));
        }
        let binding = match &self.end_point {
            Some(hash) => &STANDARD.encode([self.header().as_bytes(), hash].concat()),
            None => "biws",
        };
        let without_proof = format!("c={binding},r={nonce}");
        let exchange = format!("n=,r={},{server_first},{without_proof}", self.nonce);
        let key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(key), exchange.as_bytes());
        let mut proof = key;
        proof.iter_mut().zip(signature).for_each(|(key, signature)| *key ^= signature);
        self.expected = hmac(&hmac(&salted, b"Server Key"), exchange.as_bytes());
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Checks the signature in the server's final message.
    pub(crate) fn check(&self, server_final: &[u8]) -> Result<()> {
        let signature =
            server_final.strip_prefix(b"v=").context("the server's final SCRAM message has no signature")?;
        ensure!(STANDARD.decode(signature)? == self.expected, "the server's signature is wrong");
        Ok(())
    }
}

/// The nonce, the salt and the iterations in the server's first message.
fn attributes(server_first: &str) -> Option<(&str, &str, &str)> {
    let mut parts = server_first.split(',');
    let nonce = parts.next()?.strip_prefix("r=")?;
    let salt = parts.next()?.strip_prefix("s=")?;
    Some((nonce, salt, parts.next()?.strip_prefix("i=")?))
}

/// Derives the salted password with PBKDF2 and HMAC-SHA-256. This takes most of the time of a login; each iteration computes two SHA-256
/// blocks.
fn derive(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    // The initial hash value of SHA-256 (FIPS 180-4, 5.3.3).
    let initial: [u32; 8] =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    let keyed = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(password.as_bytes()).for_each(|(byte, key)| *byte ^= key);
        let mut state = initial;
        compress256(&mut state, &[block]);
        state
    };
    let (inner, outer) = (keyed(0x36), keyed(0x5c));
    let mut salted = hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
    let mut block = [0; 64];
    block[..32].copy_from_slice(&salted);
    block[32] = 0x80;
    block[62] = 3;
    for _ in 1..iterations {
        hash_to_front(inner, &mut block);
        hash_to_front(outer, &mut block);
        salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    salted
}

#[inline(never)]
fn hash_to_front(mut state: [u32; 8], block: &mut [u8; 64]) {
    compress256(&mut state, std::slice::from_ref(block));
    for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
}

/// Computes the HMAC-SHA-256 of a message.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length"));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

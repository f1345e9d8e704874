//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both roles, as steps over byte strings.
//!
//! Each state is a type, each step consumes it and gives the next, and nothing here waits or reads: the bytes go in and out of
//! SASLInitialResponse, AuthenticationSASLContinue, SASLResponse and AuthenticationSASLFinal messages by the caller's hand. The client
//! begins with [`ClientFirst`], the server with [`ServerFirst`] and a [`Verifier`].
//!
//! PostgreSQL's exchange is that of [RFC 5802](https://www.rfc-editor.org/rfc/rfc5802) and
//! [RFC 7677](https://www.rfc-editor.org/rfc/rfc7677), with an empty user name and the
//! [differences in the manual](https://www.postgresql.org/docs/current/sasl-authentication.html#SASL-SCRAM-SHA-256).

mod attributes;
mod cache;
mod client;
mod keys;
mod nonce;
mod server;
mod verifier;

use std::num::NonZeroU32;

pub use cache::KeyCache;
pub use client::{ChannelBinding, ClientChallenged, ClientFinal, ClientFirst, Iterations, Proven};
pub use keys::{ClientKey, Derivation, SaltedPassword, ScramKeys, ServerKey, StoredKey};
pub use nonce::Nonce;
pub(crate) use server::CLIENT_FIRST;
pub use server::{OfferedBinding, ServerChallenge, ServerFinal, ServerFirst};
pub use verifier::Verifier;

/// The mechanism's name without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The mechanism's name with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How often PostgreSQL hashes a new password unless `scram_iterations` says otherwise.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("it is not zero");

/// Length in bytes of the salts that PostgreSQL makes.
pub const DEFAULT_SALT_LENGTH: usize = 16;

//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS in both roles, as steps over byte strings.
//!
//! Each state is a type; each step consumes one state and returns the next. The code does no I/O and never waits: the caller sends and
//! receives the bytes in SASLInitialResponse, AuthenticationSASLContinue, SASLResponse and AuthenticationSASLFinal messages. The client
//! begins with [`ClientFirst`], the server with [`ServerFirst`] and a [`Verifier`].
//!
//! PostgreSQL's exchange follows [RFC 5802](https://www.rfc-editor.org/rfc/rfc5802) and [RFC 7677](https://www.rfc-editor.org/rfc/rfc7677),
//! with an empty user name and the [differences in the
//! manual](https://www.postgresql.org/docs/current/sasl-authentication.html#SASL-SCRAM-SHA-256).

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

/// The name of the mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The name of the mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// PostgreSQL's default of `scram_iterations`: the iteration count of a new password.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("the number is not zero");

/// Length in bytes of the salts that PostgreSQL makes.
pub const DEFAULT_SALT_LENGTH: usize = 16;

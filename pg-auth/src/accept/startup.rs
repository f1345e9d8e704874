//! A client's start-up message, as the caller receives it.

use pg_wire::frontend::{ProtocolVersion, StartupMessage};
use pg_wire::{Decode, Text, codec::Terminated};

use crate::link::TlsInfo;

/// A copy of a client's start-up message, with the negotiated version and the TLS layer's report.
#[derive(Clone, PartialEq, Eq)]
pub struct Startup {
    pub(super) body: Vec<u8>,
    pub(super) version: ProtocolVersion,
    pub(super) tls: Option<TlsInfo>,
}

impl Startup {
    /// The client's start-up message, with the version that the client asked for.
    pub fn message(&self) -> StartupMessage<'_> {
        // Decoding cannot fail: the body was decoded before the body was stored.
        StartupMessage::decode(&self.body)
            .unwrap_or(StartupMessage { version: self.version, parameters: Terminated::EMPTY })
    }

    /// The protocol version in use, after negotiation.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The TLS layer's report about the connection and the client's certificate; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// The name of the PostgreSQL role to log in as; never empty.
    pub fn user(&self) -> Text<'_> {
        self.message().get("user").unwrap_or_default()
    }

    /// The database to connect to; the user's name if the client names no database.
    pub fn database(&self) -> Text<'_> {
        self.message().get("database").filter(|name| !name.is_empty()).unwrap_or(self.user())
    }
}

impl std::fmt::Debug for Startup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message().fmt(f)
    }
}

//! The first packets of a connection, which have no type byte: requests for encryption, cancel requests, the start-up message.

use pg_wire::backend::NegotiateProtocolVersion;
use pg_wire::frontend::{Initial, ProtocolVersion, StartupMessage};
use pg_wire::{Inbox, Outbox, SqlState, Text, codec::List};

use super::Accept;
use super::startup::Startup;
use super::words::{NEWEST, fatal, unsupported};
use crate::error::{AuthError, ClientError};
use crate::session::CancelKey;

impl Accept {
    /// Takes the body of the next packet out of the inbox, if the packet is complete.
    pub(super) fn next_packet<'i>(&self, inbox: &'i mut Inbox) -> Result<Option<&'i [u8]>, ClientError> {
        let claimed = inbox.peek().first_chunk().map_or(0, |field| i32::from_be_bytes(*field));
        inbox.next_packet(Initial::MAX_LENGTH).map_err(|_| ClientError::PacketLength(claimed))
    }

    /// Reads a packet without a type byte: keeps a start-up message, declines a request for encryption, or returns the key of a cancel
    /// request.
    pub(super) fn first_packet(
        &mut self,
        body: &[u8],
        outbox: &mut Outbox,
    ) -> Result<Option<CancelKey>, AuthError> {
        let version = body.first_chunk().map(|code| ProtocolVersion(u32::from_be_bytes(*code)));
        // As in PostgreSQL, a second SSLRequest or a second GSSENCRequest is treated as a start-up message with an unsupported version.
        let (ssl, gss) = (!self.ssl_declined, !self.gss_declined);
        match Initial::decode(body) {
            Ok(Initial::Ssl(_)) if ssl => {
                self.ssl_declined = true;
                outbox.put_raw(b"N");
                return Ok(None);
            }
            Ok(Initial::GssEnc(_)) if gss => {
                self.gss_declined = true;
                outbox.put_raw(b"N");
                return Ok(None);
            }
            Ok(Initial::Cancel(cancel)) => return Ok(Some(CancelKey::new(cancel.pid, cancel.key.0))),
            Ok(Initial::Startup(startup)) if startup.version.major() == NEWEST.major() => {
                self.begin(startup, body, outbox)?;
                return Ok(None);
            }
            Err(error) if version.is_some_and(|version| version.major() == NEWEST.major()) => {
                let message = "invalid startup packet layout: expected terminator as last byte";
                fatal(SqlState::PROTOCOL_VIOLATION, message, outbox);
                return Err(error.into());
            }
            // The packet has no version, or is a malformed request: PostgreSQL closes the connection without an error message.
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let version = version.unwrap_or(NEWEST);
        fatal(SqlState::FEATURE_NOT_SUPPORTED, &unsupported(version), outbox);
        Err(ClientError::UnsupportedVersion(version).into())
    }

    /// Keeps the start-up message. If the version or an option in the message is not supported, puts NegotiateProtocolVersion into the
    /// outbox.
    fn begin(
        &mut self,
        startup: StartupMessage<'_>,
        body: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), AuthError> {
        let version = startup.version.min(NEWEST);
        let unknown: Vec<Text<'_>> = startup
            .parameters
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.as_bytes().starts_with(b"_pq_."))
            .collect();
        if version < startup.version || !unknown.is_empty() {
            outbox.put(&NegotiateProtocolVersion { version, unrecognized: List::from(&unknown[..]) });
        }
        let startup = Startup { body: body.to_vec(), version, tls: self.tls.clone() };
        if startup.user().is_empty() {
            let message = "no PostgreSQL user name specified in startup packet";
            fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message, outbox);
            return Err(ClientError::NoUser.into());
        }
        self.startup = Some(startup);
        Ok(())
    }
}

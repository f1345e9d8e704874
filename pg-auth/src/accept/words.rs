//! Messages of a server other than requests for authentication: the error for a rejected client, and the messages after a login.

use pg_wire::backend::{BackendKeyData, ErrorField, ErrorResponse, ParameterStatus, ReadyForQuery};
use pg_wire::frontend::ProtocolVersion;
use pg_wire::{Outbox, SqlState, TransactionStatus};

use crate::session::CancelKey;

/// The newest supported protocol version. A client that asks for a newer minor version gets NegotiateProtocolVersion.
pub(super) const NEWEST: ProtocolVersion = ProtocolVersion::V3_2;

/// PostgreSQL's error text for an unsupported version of the protocol. The error's SQLSTATE is
/// [`FEATURE_NOT_SUPPORTED`](SqlState::FEATURE_NOT_SUPPORTED).
pub fn unsupported(version: ProtocolVersion) -> String {
    format!("unsupported frontend protocol {version}: server supports 3.0 to {NEWEST}")
}

/// Puts the messages that begin a session into the outbox: parameters, the key for cancel requests if there is one, and ReadyForQuery.
/// Flush the connection afterwards.
///
/// Clients expect `server_version`, `client_encoding`, `DateStyle`, `standard_conforming_strings` and some others.
pub fn welcome<'p>(
    parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    cancel_key: Option<&CancelKey>,
    outbox: &mut Outbox,
) {
    for (name, value) in parameters {
        outbox.put(&ParameterStatus { name: name.into(), value: value.into() });
    }
    if let Some(key) = cancel_key {
        let request = key.request();
        outbox.put(&BackendKeyData { pid: request.pid, key: request.key });
    }
    outbox.put(&ReadyForQuery { status: TransactionStatus::Idle });
}

/// Puts an ErrorResponse of severity FATAL into the outbox. Flush and close the connection afterwards. Precondition: `message` contains no
/// NUL byte; otherwise the flush fails.
pub fn fatal(state: SqlState, message: &str, outbox: &mut Outbox) {
    // The messages of this crate contain no NUL byte. Only the user's name comes from a client, and a NUL byte ends this name in the
    // start-up message.
    outbox.put(&ErrorResponse { fields: (&ErrorField::four("FATAL", &state, message)).into() });
}

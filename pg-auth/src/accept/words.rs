//! What a server says beside the machine: the last words to a client that is refused, and the first to one that is in.

use pg_wire::backend::{BackendKeyData, ErrorField, ErrorResponse, ParameterStatus, ReadyForQuery};
use pg_wire::{Outbox, SqlState, Text, TransactionStatus};

use crate::session::CancelKey;

/// Tells a client what a session begins with: parameters, the key for cancel requests if there is one, and ReadyForQuery.
/// Flush afterwards.
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

/// Puts an ErrorResponse of severity FATAL. Flush and close afterwards.
pub fn fatal(state: SqlState, message: &str, outbox: &mut Outbox) {
    let field = |code, value| ErrorField { code, value: Text::from(value) };
    // A user name may hold whatever a client likes, but no NUL: it came as a string.
    let fields =
        [field(b'S', "FATAL"), field(b'V', "FATAL"), field(b'C', state.as_str()), field(b'M', message)];
    outbox.put(&ErrorResponse { fields: (&fields).into() });
}

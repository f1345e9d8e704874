//! Whether a session is of the kind that `target_session_attrs` demands.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS)

use pg_wire::backend::Backend;
use pg_wire::{Connection, PgProtocol, Transport};

use super::ConnectError;
use crate::config::TargetSessionAttrs;
use crate::error::{AuthError, PeerError, Refusal};
use crate::session::{Parameters, Session};

/// Judgement of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The session is of the kind demanded.
    Wanted,
    /// It is of another kind.
    Other,
}

/// Judges a session by the parameters that the server reported at start-up, as servers do since PostgreSQL 14, and otherwise by a
/// query. A session that is not wanted is ended by Terminate.
pub(super) async fn judge<T: Transport>(
    conn: &mut Connection<T>,
    session: &Session,
    wanted: TargetSessionAttrs,
) -> Result<Verdict, ConnectError> {
    use TargetSessionAttrs as Attrs;
    let (writable_wanted, query) = match wanted {
        Attrs::Any | Attrs::PreferStandby => return Ok(Verdict::Wanted),
        Attrs::ReadWrite => (true, "SHOW transaction_read_only"),
        Attrs::ReadOnly => (false, "SHOW transaction_read_only"),
        Attrs::Primary => (true, "SELECT pg_catalog.pg_is_in_recovery()"),
        Attrs::Standby => (false, "SELECT pg_catalog.pg_is_in_recovery()"),
    };
    let restricted = match reported(&session.parameters, wanted) {
        Some(restricted) => restricted,
        None => ask(conn, query).await?,
    };
    if restricted != writable_wanted {
        return Ok(Verdict::Wanted);
    }
    // The server ends the session anyway once the socket is closed; whether it hears this changes nothing.
    let _ = conn.terminate().flush().await;
    Ok(Verdict::Other)
}

/// Whether the session is read-only, or in recovery, as far as the server's parameters tell.
fn reported(parameters: &Parameters, wanted: TargetSessionAttrs) -> Option<bool> {
    let is_on = |name| parameters.get(name).map(|value| value == "on");
    let in_recovery = is_on("in_hot_standby");
    match wanted {
        TargetSessionAttrs::Primary | TargetSessionAttrs::Standby => in_recovery,
        _ => Some(is_on("default_transaction_read_only")? || in_recovery?),
    }
}

/// Asks a question that is answered by one row with "on" or "t" for yes.
async fn ask<T: Transport>(conn: &mut Connection<T>, query: &str) -> Result<bool, ConnectError> {
    conn.query(query).flush().await?;
    let mut answer = None;
    let mut refusal = None;
    loop {
        let frame = conn.recv().await?;
        match frame.backend().map_err(AuthError::from)? {
            Backend::DataRow(row) => {
                let value = row.values.iter().next().transpose().map_err(AuthError::from)?.flatten();
                answer = Some(matches!(value, Some(b"on" | b"t")));
            }
            Backend::ErrorResponse(error) => refusal = Some(error.to_owned()),
            Backend::ReadyForQuery(_) => break,
            _ => {}
        }
    }
    match (refusal, answer) {
        (Some(error), _) => Err(AuthError::from(Refusal::Response(error)).into()),
        (None, Some(answer)) => Ok(answer),
        (None, None) => {
            let missing = PeerError::Unexpected { message: "ReadyForQuery", expected: "DataRow" };
            Err(AuthError::from(missing).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProtocolVersion;
    use pg_wire::Limits;
    use pg_wire::testing::{Script, block_on};

    const READY: &[u8] = b"Z\0\0\0\x05I";

    /// Judges a session with these parameters whose server answers a query with this value. Returns the verdict and the bytes sent.
    fn judged(parameters: &[(&str, &str)], answer: &[u8], wanted: TargetSessionAttrs) -> (Verdict, Vec<u8>) {
        let mut session = Session::new(ProtocolVersion::V3_0);
        for (name, value) in parameters {
            session.parameters.set((*name).into(), (*value).into());
        }
        let row = [b"D\0\0\0", &[4 + 2 + 4 + answer.len() as u8][..], b"\0\x01\0\0\0", &[answer.len() as u8]];
        let replies = [&row.concat()[..], answer, READY].concat();
        let mut conn = Connection::new(Script::says(&replies), Limits::BACKEND);
        let verdict = block_on(judge(&mut conn, &session, wanted)).expect("the server answers");
        (verdict, conn.transport().heard().to_vec())
    }

    #[test]
    fn reported_parameters_decide_without_a_query() {
        use TargetSessionAttrs::{Any, Primary, ReadOnly, ReadWrite, Standby};
        let primary = [("in_hot_standby", "off"), ("default_transaction_read_only", "off")];
        let read_only = [("in_hot_standby", "off"), ("default_transaction_read_only", "on")];
        let standby = [("in_hot_standby", "on"), ("default_transaction_read_only", "off")];
        for (parameters, wanted) in [
            (primary, [true, true, false, true, false]),
            (read_only, [true, false, true, true, false]),
            (standby, [true, false, true, false, true]),
        ] {
            for (attrs, wanted) in [Any, ReadWrite, ReadOnly, Primary, Standby].into_iter().zip(wanted) {
                let (verdict, sent) = judged(&parameters, b"", attrs);
                assert_eq!(verdict == Verdict::Wanted, wanted, "{parameters:?} {attrs:?}");
                let expected: &[u8] = if wanted { b"" } else { b"X\0\0\0\x04" };
                assert_eq!(sent, expected, "{parameters:?} {attrs:?}");
            }
        }
    }

    #[test]
    fn a_server_that_reports_nothing_is_asked() {
        use TargetSessionAttrs::{Primary, ReadOnly, ReadWrite, Standby};
        for (attrs, answer, wanted, query) in [
            (ReadWrite, &b"off"[..], true, "SHOW transaction_read_only"),
            (ReadWrite, b"on", false, "SHOW transaction_read_only"),
            (ReadOnly, b"on", true, "SHOW transaction_read_only"),
            (Primary, b"t", false, "SELECT pg_catalog.pg_is_in_recovery()"),
            (Standby, b"t", true, "SELECT pg_catalog.pg_is_in_recovery()"),
        ] {
            let (verdict, sent) = judged(&[], answer, attrs);
            assert_eq!(verdict == Verdict::Wanted, wanted, "{attrs:?} {answer:?}");
            let asked = &sent[5..5 + query.len()];
            assert_eq!(asked, query.as_bytes(), "{attrs:?}");
        }
    }
}

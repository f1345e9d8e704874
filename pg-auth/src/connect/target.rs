//! The check of a session against `target_session_attrs`.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS)

use pg_wire::backend::Backend;
use pg_wire::{Columns, Connection, PgProtocol, Transport};

use super::ConnectError;
use crate::config::TargetSessionAttrs;
use crate::error::{AuthError, PeerError, Refusal};
use crate::session::{Parameters, Session};

/// The result of checking a session against `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The session is of the kind that `target_session_attrs` demands.
    Wanted,
    /// The session is not of the kind that `target_session_attrs` demands.
    Other,
}

/// Checks whether a session is of the kind `wanted`. At start-up, PostgreSQL 14 and later report the parameters that show the kind. If the
/// server has not reported these parameters, this function sends a query. Ends an unsuitable session by Terminate.
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
    // An error of this flush is ignored: without a Terminate, the server ends the session when the socket is closed.
    let _ = conn.terminate().flush().await;
    Ok(Verdict::Other)
}

/// Reads the kind of the session from the reported parameters. For `Primary` and `Standby`, returns true if the server is in hot standby.
/// For every other kind, returns true if the session is read-only. Returns `None` if the server has not reported the parameters that show
/// the kind.
fn reported(parameters: &Parameters, wanted: TargetSessionAttrs) -> Option<bool> {
    let is_on = |name| parameters.get(name).map(|value| value == "on");
    let in_recovery = is_on("in_hot_standby");
    match wanted {
        TargetSessionAttrs::Primary | TargetSessionAttrs::Standby => in_recovery,
        _ => Some(is_on("default_transaction_read_only")? || in_recovery?),
    }
}

/// Sends a query whose answer is one row of one column: "on" or "t" for yes, "off" or "f" for no.
async fn ask<T: Transport>(conn: &mut Connection<T>, query: &str) -> Result<bool, ConnectError> {
    conn.query(query).flush().await?;
    let unexpected = || {
        AuthError::from(PeerError::Unexpected {
            message: "DataRow",
            expected: "one row with one of on, off, t, f",
        })
    };
    let mut columns = Columns::default();
    let mut answer = None;
    let mut refusal = None;
    loop {
        let frame = conn.recv().await?;
        match frame.backend().map_err(AuthError::from)? {
            Backend::RowDescription(description) => columns = Columns::of_portal(&description),
            Backend::DataRow(row) => {
                let value = row.values.iter().next().transpose().map_err(AuthError::from)?.flatten();
                answer = match value {
                    Some(b"on" | b"t") if columns.len() == 1 && answer.is_none() => Some(true),
                    Some(b"off" | b"f") if columns.len() == 1 && answer.is_none() => Some(false),
                    _ => return Err(unexpected().into()),
                };
                columns.check(&row).map_err(|_| unexpected())?;
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

    /// A RowDescription of one column of text.
    const DESCRIPTION: &[u8] = b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";

    /// A DataRow of one value.
    fn row(value: &[u8]) -> Vec<u8> {
        let lengths = [4 + 2 + 4 + value.len() as u8, value.len() as u8];
        [b"D\0\0\0", &lengths[..1], b"\0\x01\0\0\0", &lengths[1..], value].concat()
    }

    /// Runs `judge` for a session with these parameters. The server answers the query with the value `answer`. Returns the verdict and the
    /// bytes that `judge` has sent.
    fn judged(parameters: &[(&str, &str)], answer: &[u8], wanted: TargetSessionAttrs) -> (Verdict, Vec<u8>) {
        let mut session = Session::new(ProtocolVersion::V3_0);
        for (name, value) in parameters {
            session.parameters.set((*name).into(), (*value).into());
        }
        let replies = [DESCRIPTION, &row(answer), READY].concat();
        let mut conn = Connection::new(Script::sends(&replies), Limits::BACKEND);
        let verdict = block_on(judge(&mut conn, &session, wanted)).expect("the server answers");
        (verdict, conn.transport().received().to_vec())
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
    fn a_server_that_reports_no_parameters_is_asked_by_a_query() {
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

    #[test]
    fn an_answer_that_is_neither_yes_nor_no_is_an_error() {
        let two = b"D\0\0\0\x10\0\x02\0\0\0\x01t\0\0\0\x01t";
        let null = b"D\0\0\0\x0a\0\x01\xff\xff\xff\xff";
        for answer in [
            &[DESCRIPTION, &row(b"maybe")].concat()[..],
            &[DESCRIPTION, &row(b"")].concat(),
            &[DESCRIPTION, &row(b"t"), &row(b"f")].concat(),
            &[DESCRIPTION, two].concat(),
            &[DESCRIPTION, null].concat(),
            &row(b"t"),
            DESCRIPTION,
            b"",
        ] {
            let replies = [answer, READY].concat();
            let mut conn = Connection::new(Script::sends(&replies), Limits::BACKEND);
            let session = Session::new(ProtocolVersion::V3_0);
            let judged = block_on(judge(&mut conn, &session, TargetSessionAttrs::Primary));
            judged.expect_err(&answer.escape_ascii().to_string());
        }
    }
}

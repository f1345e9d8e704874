//! Converts received messages to short lines of text.

use pg_wire::backend::{Backend, ErrorFields};
use pg_wire::{Connection, Frame, MessageCode, TransactionStatus, Transport};

/// The lines of the messages that a check has received.
pub(crate) type Log = Vec<String>;

/// Maximum length in bytes of a value that is printed in a line. For a longer value, the line contains only the length.
const LONGEST: usize = 40;

/// Receives messages up to ReadyForQuery, and appends a line for each message. If receiving fails, appends the error as a line.
pub(crate) async fn reply<T: Transport>(conn: &mut Connection<T>, log: &mut Log) {
    loop {
        match conn.recv().await {
            Ok(frame) => {
                log.extend(line(frame));
                if frame.code == MessageCode::READY_FOR_QUERY {
                    return;
                }
            }
            Err(error) => {
                log.push(format!("failed: {error}"));
                return;
            }
        }
    }
}

/// Describes a message in one line. Returns `None` for a ParameterStatus, which a server may send at any time.
pub(crate) fn line(frame: Frame<'_>) -> Option<String> {
    Some(match frame.backend() {
        Ok(Backend::ParameterStatus(_)) => return None,
        Ok(Backend::RowDescription(description)) => {
            let columns =
                description.fields.iter().map(|column| format!("{}:{}", column.name, column.type_oid));
            format!("columns {}", columns.collect::<Vec<_>>().join(" "))
        }
        Ok(Backend::ParameterDescription(description)) => {
            let types = description.types.iter().map(|of| of.to_string());
            format!("parameters {}", types.collect::<Vec<_>>().join(" "))
        }
        Ok(Backend::DataRow(row)) => {
            let values = row.values.into_iter().map(|value| match value {
                Ok(Some(value)) if value.len() > LONGEST => format!("{} bytes", value.len()),
                Ok(Some(value)) => value.escape_ascii().to_string(),
                Ok(None) => "NULL".into(),
                Err(error) => error.to_string(),
            });
            format!("row {}", values.collect::<Vec<_>>().join("|"))
        }
        Ok(Backend::CommandComplete(complete)) => format!("complete {}", complete.tag),
        Ok(Backend::ErrorResponse(error)) => format!("error {}", problem(&error.fields)),
        Ok(Backend::NoticeResponse(notice)) => format!("notice {}", problem(&notice.fields)),
        Ok(Backend::ReadyForQuery(ready)) => match ready.status {
            TransactionStatus::Idle => "ready".into(),
            status => format!("ready, transaction {status:?}"),
        },
        // The line of any other message is only the message's name, with which the debug text begins.
        Ok(message) => {
            let text = format!("{message:?}");
            text.split(['(', ' ']).next().unwrap_or_default().into()
        }
        Err(error) => format!("malformed: {error}"),
    })
}

fn problem(fields: &ErrorFields<'_>) -> String {
    let state = fields.sqlstate().map(|state| state.to_string()).unwrap_or_default();
    format!("{state} {}", fields.message().unwrap_or_default())
}

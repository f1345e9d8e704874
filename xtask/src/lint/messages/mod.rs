//! The rules for messages: their codes, their documentation, their golden bytes.

mod declared;
mod goldens;
mod layout;
mod links;
mod table;

use anyhow::Result;

use crate::lint::finding::Finding;
use crate::lint::source::Source;
use declared::{Declared, declared};
use table::{Table, tables};

/// The names of all messages: in Rust, and in the manual where they differ.
pub(super) fn names(sources: &[&Source]) -> Result<Vec<String>> {
    let messages = declared(sources)?.into_iter().filter(Declared::is_message);
    Ok(messages.flat_map(|message| [Some(message.name), message.wire_name]).flatten().collect())
}

/// Checks the messages that are declared in these files, and the tables.
pub(super) fn check(sources: &[&Source]) -> Result<Vec<Finding>> {
    let (tables, all) = (tables(sources)?, declared(sources)?);
    let byte = |code: &str| {
        tables.iter().flat_map(|table| &table.rows).find(|row| row.code == code).map(|row| row.byte)
    };
    let mut findings = table::check(&tables);
    findings.extend(undeclared(&tables, &all));
    findings.extend(layout::check(&all, byte));
    findings.extend(links::check(&all));
    findings.extend(goldens::check(&all, &tables, sources));
    Ok(findings)
}

/// Reports each row whose message is not declared in a form that the other rules understand.
fn undeclared(tables: &[Table], all: &[Declared]) -> Vec<Finding> {
    let rows = tables.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)));
    let unknown = rows
        .filter(|(_, row)| !all.iter().any(|declared| declared.is_message() && declared.name == row.message));
    unknown
        .map(|(table, row)| {
            let wrong = format!("{} is not declared below pg-wire/src/message", row.message);
            let remedy = "declare the message with `message!`, or as a struct or an enum with an `impl` of `Decode` in the same file";
            Finding::new(&table.file, row.line, wrong, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests;

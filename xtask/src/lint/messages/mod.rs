//! The rules for the codes, the documentation and the golden bytes of messages.

mod declared;
mod goldens;
mod layout;
mod links;
mod table;

use anyhow::Result;
use syn::Item;

use crate::lint::finding::Finding;
use crate::lint::source::{Source, attributes, is_test};
use declared::{Declared, declared};
use table::{Table, tables};

/// The names of all messages: the names in Rust, and the names in the manual that differ from the names in Rust.
pub(super) fn names(sources: &[&Source]) -> Result<Vec<String>> {
    let messages = declared(sources)?.into_iter().filter(Declared::is_message);
    Ok(messages.flat_map(|message| [Some(message.name), message.wire_name]).flatten().collect())
}

/// Checks the messages that are declared in `sources`, and the tables of messages.
pub(super) fn check(sources: &[&Source]) -> Result<Vec<Finding>> {
    let (tables, all) = (tables(sources)?, declared(sources)?);
    let byte = |code: &str| {
        tables.iter().flat_map(|table| &table.rows).find(|row| row.code == code).map(|row| row.byte)
    };
    let mut findings = table::check(&tables);
    findings.extend(undeclared(&tables, &all));
    findings.extend(sources.iter().flat_map(|source| other_macros(source)));
    findings.extend(layout::check(&all, byte));
    findings.extend(links::check(&all));
    findings.extend(goldens::check(&all, &tables, sources));
    Ok(findings)
}

/// The macros whose calls [`declared()`] reads.
const MACROS: [&str; 3] = ["direction", "message", "request"];

/// Reports each macro that is not in `MACROS` and whose body contains `Decode`. Such a macro declares messages, which the rules would not
/// find.
fn other_macros(source: &Source) -> Vec<Finding> {
    let macros =
        source.code.items.iter().filter(|item| !is_test(attributes(item))).filter_map(|item| match item {
            Item::Macro(item) => item.ident.as_ref().map(|name| (name, item.mac.tokens.to_string())),
            _ => None,
        });
    macros
        .filter(|(name, body)| !MACROS.iter().any(|known| name == known) && body.contains("Decode"))
        .map(|(name, _)| {
            let wrong = format!("the macro {name} declares messages that lint does not find");
            let remedy = "declare the messages with `message!`, or without a macro";
            Finding::new(&source.path, name.span().start().line, wrong, remedy)
        })
        .collect()
}

/// Reports each row of a table whose message was not found in the sources.
fn undeclared(tables: &[Table], all: &[Declared]) -> Vec<Finding> {
    let rows = tables.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)));
    let unknown = rows
        .filter(|(_, row)| !all.iter().any(|declared| declared.is_message() && declared.name == row.message));
    unknown
        .map(|(table, row)| {
            let wrong = format!("{} is not declared in the folder pg-wire/src/message", row.message);
            let remedy = "declare the message with `message!`, or as a struct or an enum with an `impl` of `Decode` in the same file";
            Finding::new(&table.file, row.line, wrong, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests;

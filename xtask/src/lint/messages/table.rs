//! Reads the table of message codes of each direction. Rule: the table of a direction has each message code only once.

use std::collections::BTreeMap;

use anyhow::Result;
use proc_macro2::{Ident, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Item, LitByte, Token, braced};

use crate::lint::finding::Finding;
use crate::lint::source::{Source, at, attributes, is_test};

/// The table of message codes in a call of the macro `direction!`.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) file: String,
    /// The direction of the table's messages: `backend` or `frontend`.
    pub(super) direction: String,
    pub(super) rows: Vec<Row>,
}

/// One row of a table, such as `CODE = b'x' => Message …;`. In the form `CODE also b'x' => Message …;`, the table of the other direction
/// has already declared the constant `CODE`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    /// The name of the constant of `MessageCode`.
    pub(super) code: String,
    pub(super) byte: u8,
    pub(super) message: String,
}

/// Reads the tables in the files `sources`.
pub(super) fn tables(sources: &[&Source]) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for source in sources {
        for item in source.code.items.iter().filter(|item| !is_test(attributes(item))) {
            if let Item::Macro(call) = item
                && call.mac.path.segments.last().is_some_and(|last| last.ident == "direction")
            {
                let parsed: Parsed = call
                    .mac
                    .parse_body()
                    .map_err(|error| at(&source.path, error.span(), &error.to_string()))?;
                let Parsed { direction, rows } = parsed;
                tables.push(Table { file: source.path.clone(), direction, rows });
            }
        }
    }
    Ok(tables)
}

struct Parsed {
    direction: String,
    rows: Vec<Row>,
}

impl Parse for Parsed {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Attribute::parse_outer(input)?;
        input.parse::<Token![pub]>()?;
        input.parse::<Token![enum]>()?;
        input.parse::<Ident>()?;
        input.parse::<Token![,]>()?;
        // Skips the two words `decoded by`.
        input.parse::<Ident>()?;
        input.parse::<Ident>()?;
        let direction = input.parse::<Ident>()?.to_string();
        let content;
        braced!(content in input);
        let mut rows = Vec::new();
        while !content.is_empty() {
            rows.push(content.parse()?);
        }
        Ok(Self { direction, rows })
    }
}

impl Parse for Row {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let code: Ident = input.parse()?;
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
        } else {
            // Skips the word `also`.
            input.parse::<Ident>()?;
        }
        let byte: LitByte = input.parse()?;
        input.parse::<Token![=>]>()?;
        let message: Ident = input.parse()?;
        while !input.peek(Token![;]) {
            input.parse::<TokenTree>()?;
        }
        input.parse::<Token![;]>()?;
        let line = code.span().start().line;
        Ok(Self { line, code: code.to_string(), byte: byte.value(), message: message.to_string() })
    }
}

/// Reports each code that is in two rows of one table.
pub(super) fn check(tables: &[Table]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in tables {
        let mut seen: BTreeMap<u8, &Row> = BTreeMap::new();
        for row in &table.rows {
            let Some(before) = seen.insert(row.byte, row) else { continue };
            let wrong = format!(
                "the code b'{}' of {} is the code of {} too (line {})",
                row.byte.escape_ascii(),
                row.message,
                before.message,
                before.line
            );
            let remedy = "use the code from the manual; for messages that share a code, the table has one row, which decodes all of them";
            findings.push(Finding::new(&table.file, row.line, wrong, remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{check, tables};
    use crate::lint::source::Source;

    fn findings(rows: &str) -> Vec<(usize, String)> {
        let text = format!(
            "crate::message::table::direction! {{\n    /// Docs.\n    pub enum Backend, decoded by backend {{\n{rows}    }}\n}}\n"
        );
        let tables = tables(&[&Source::parse("mod.rs", &text).expect("valid")]).expect("a table");
        assert_eq!(tables[0].direction, "backend");
        check(&tables).into_iter().map(|finding| (finding.line, finding.wrong)).collect()
    }

    #[test]
    fn a_table_with_different_codes_passes() {
        assert_eq!(
            findings(
                "A = b'A' => A, Cold, Control;\nB also b'a' => B<'a>, Hot, Bulk;\nC = b'C' => C of P<'a>, Hot, Bulk;\n"
            ),
            []
        );
    }

    #[test]
    fn a_table_with_the_same_code_twice_fails() {
        let found = findings("A = b'A' => A, Cold, Control;\nB also b'A' => B<'a>, Hot, Bulk;\n");
        assert_eq!(found, [(5, "the code b'A' of B is the code of A too (line 4)".into())]);
    }
}

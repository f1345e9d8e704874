//! Writes the fields that describe a table or contain a row.

use pg_wire::replication::pgoutput::{ReplicaIdentity, Table, TableColumn, Tuple, TupleValue};

use crate::failure::Failure;
use crate::line::{Line, put, string};
use crate::value::{Types, put_value};

/// Whether the column is part of the key that identifies a row. A table with the replica identity Full or Nothing has no key in the output,
/// although with Full the server marks all columns as key columns.
fn is_key(table: &Table, column: &TableColumn) -> bool {
    column.is_key && !matches!(table.replica_identity, ReplicaIdentity::Full | ReplicaIdentity::Nothing)
}

/// Whether any column of the table is part of a key.
pub(crate) fn has_key(table: &Table) -> bool {
    table.columns.iter().any(|column| is_key(table, column))
}

/// Whether the table has a column whose type has not been read from the catalog yet.
pub(crate) fn lacks(table: &Table, types: &Types) -> bool {
    table.columns.iter().any(|column| types.lacks(column.type_oid))
}

/// Returns the schema of a table. In the protocol, the empty name stands for `pg_catalog`.
pub(crate) fn schema(table: &Table) -> &str {
    if table.namespace.is_empty() { "pg_catalog" } else { &table.namespace }
}

/// Appends the fields `schema` and `table`.
pub(crate) fn put_name<'o>(line: Line<'o>, table: &Table) -> Line<'o> {
    line.string("schema", schema(table)).string("table", &table.name)
}

/// Appends the fields `identity` and `columns`.
pub(crate) fn put_description<'o>(line: Line<'o>, table: &Table) -> Line<'o> {
    let identity = match table.replica_identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Nothing => "nothing",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Index => "index",
        _ => "unknown",
    };
    let mut line = line.string("identity", identity);
    let out = line.field("columns");
    out.push(b'[');
    for (at, column) in table.columns.iter().enumerate() {
        put(out, format_args!("{}{{\"name\":", if at == 0 { "" } else { "," }));
        string(out, &column.name);
        put(out, format_args!(",\"type_oid\":{}", column.type_oid));
        if let Some(name) = column.type_name() {
            out.extend_from_slice(b",\"type\":");
            string(out, name);
        }
        if column.type_modifier >= 0 {
            put(out, format_args!(",\"modifier\":{}", column.type_modifier));
        }
        put(out, format_args!("{}}}", if is_key(table, column) { ",\"key\":true" } else { "" }));
    }
    out.push(b']');
    line
}

/// Appends a field whose value is an object. The object has a field for each column that the server has sent.
pub(crate) fn put_row(
    line: &mut Line<'_>,
    field: &str,
    table: &Table,
    row: Tuple<'_>,
    types: &Types,
) -> Result<(), Failure> {
    put_columns(line, field, table, row, types, |_| true)
}

/// Appends the field `key`: an object with a member for each column of the key.
pub(crate) fn put_key(
    line: &mut Line<'_>,
    table: &Table,
    row: Tuple<'_>,
    types: &Types,
) -> Result<(), Failure> {
    put_columns(line, "key", table, row, types, |column| is_key(table, column))
}

fn put_columns(
    line: &mut Line<'_>,
    field: &str,
    table: &Table,
    row: Tuple<'_>,
    types: &Types,
    is_shown: impl Fn(&TableColumn) -> bool,
) -> Result<(), Failure> {
    let out = line.field(field);
    out.push(b'{');
    let mut separator: &[u8] = b"";
    for pair in table.values(row) {
        let (column, value) = pair?;
        if value == TupleValue::Unchanged || !is_shown(column) {
            continue;
        }
        out.extend_from_slice(separator);
        separator = b",";
        string(out, &column.name);
        out.push(b':');
        put_value(out, value, column.type_oid, types).map_err(|error| Failure::Value {
            table: table.to_string(),
            column: column.name.clone(),
            error,
        })?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends the field `unchanged` with the names of the columns that the server has not sent, if there are such columns.
pub(crate) fn put_unchanged(line: &mut Line<'_>, table: &Table, row: Tuple<'_>) -> Result<(), Failure> {
    let mut names = Vec::new();
    for pair in table.values(row) {
        let (column, value) = pair?;
        if value == TupleValue::Unchanged {
            names.push(if names.is_empty() { b'[' } else { b',' });
            string(&mut names, &column.name);
        }
    }
    if !names.is_empty() {
        names.push(b']');
        line.field("unchanged").append(&mut names);
    }
    Ok(())
}

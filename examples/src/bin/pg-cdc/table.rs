//! Tables, and the fields of a change that hold rows.

use pg_wire::oid::Oid;
use pg_wire::replication::pgoutput::{Relation, ReplicaIdentity, Tuple, TupleValue};
use pg_wire::{DecodeError, Text};

use crate::failure::Failure;
use crate::line::{Line, TableFields, put, string, table_fields};
use crate::value::{Types, put_value};

/// A table as its Relation message describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) fields: TableFields,
    identity: ReplicaIdentity,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    /// The name and a colon, as JSON.
    json: Vec<u8>,
    type_oid: Oid,
    type_modifier: i32,
    is_key: bool,
}

impl Column {
    fn new(name: String, type_oid: Oid, type_modifier: i32, is_key: bool) -> Self {
        let mut json = Vec::new();
        string(&mut json, &name);
        json.push(b':');
        Self { name, json, type_oid, type_modifier, is_key }
    }
}

/// The values of a row, in the order of the columns.
pub(crate) trait Row<'a> {
    fn values(&self) -> impl Iterator<Item = Result<TupleValue<'a>, DecodeError>>;
}

impl<'a> Row<'a> for Tuple<'a> {
    fn values(&self) -> impl Iterator<Item = Result<TupleValue<'a>, DecodeError>> {
        self.iter()
    }
}

impl<'a> Row<'a> for &[TupleValue<'a>] {
    fn values(&self) -> impl Iterator<Item = Result<TupleValue<'a>, DecodeError>> {
        self.iter().copied().map(Ok)
    }
}

impl Table {
    /// Reads a Relation message.
    pub(crate) fn new(relation: &Relation<'_>) -> Result<Self, Failure> {
        let name = |text: Text<'_>| match text.to_str() {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(Failure::Name(text.to_string_lossy().into_owned())),
        };
        // Empty for `pg_catalog`.
        let schema =
            if relation.namespace.is_empty() { "pg_catalog".into() } else { name(relation.namespace)? };
        let table = name(relation.name)?;
        let identity = relation.replica_identity;
        // With the identity Full, all columns have the flag.
        let has_key = !matches!(identity, ReplicaIdentity::Full | ReplicaIdentity::Nothing);
        let columns = relation.columns.iter().map(|column| {
            let key = has_key && column.is_key();
            Ok(Column::new(name(column.name)?, column.type_oid, column.type_modifier, key))
        });
        let columns = columns.collect::<Result<_, Failure>>()?;
        let fields = table_fields(&schema, &table);
        Ok(Self { schema, name: table, fields, identity, columns })
    }

    /// A table whose columns are the name, the type, and whether the column is part of the key.
    pub(crate) fn of_columns(schema: &str, name: &str, columns: Vec<(String, Oid, bool)>) -> Self {
        let columns = columns.into_iter().map(|(name, type_oid, key)| Column::new(name, type_oid, -1, key));
        Self {
            schema: schema.into(),
            name: name.into(),
            fields: table_fields(schema, name),
            identity: ReplicaIdentity::Default,
            columns: columns.collect(),
        }
    }

    /// Appends the fields of a Relation message to a line.
    pub(crate) fn put_description<'o>(&self, line: Line<'o>, types: &Types) -> Line<'o> {
        let identity = match self.identity {
            ReplicaIdentity::Default => "default",
            ReplicaIdentity::Nothing => "nothing",
            ReplicaIdentity::Full => "full",
            ReplicaIdentity::Index => "index",
            _ => "unknown",
        };
        let mut line = line.table(&self.fields).string("identity", identity);
        let out = line.field("columns");
        out.push(b'[');
        for (at, column) in self.columns.iter().enumerate() {
            put(out, format_args!("{}{{\"name\":", if at == 0 { "" } else { "," }));
            string(out, &column.name);
            put(out, format_args!(",\"type_oid\":{}", column.type_oid));
            if let Some(name) = types.name(column.type_oid) {
                out.extend_from_slice(b",\"type\":");
                string(out, name);
            }
            if column.type_modifier >= 0 {
                put(out, format_args!(",\"modifier\":{}", column.type_modifier));
            }
            put(out, format_args!("{}}}", if column.is_key { ",\"key\":true" } else { "" }));
        }
        out.push(b']');
        line
    }

    /// Whether the table has columns that identify a row and are not all of its columns.
    pub(crate) fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.is_key)
    }

    /// Appends a field with an object that has a member for each column, or only for the columns of the key. Columns that were not
    /// sent are left out.
    pub(crate) fn put_row<'a>(
        &self,
        line: &mut Line<'_>,
        field: &str,
        row: &impl Row<'a>,
        only_key: bool,
        types: &Types,
    ) -> Result<(), Failure> {
        let out = line.field(field);
        out.push(b'{');
        let mut separator: &[u8] = b"";
        let mut columns = self.columns.iter();
        for value in row.values() {
            let value = value?;
            let column = columns.next().ok_or_else(|| self.mismatch())?;
            if value == TupleValue::Unchanged || only_key && !column.is_key {
                continue;
            }
            out.extend_from_slice(separator);
            separator = b",";
            out.extend_from_slice(&column.json);
            put_value(out, value, column.type_oid, types).map_err(|error| Failure::Value {
                table: self.qualified(),
                column: column.name.clone(),
                error,
            })?;
        }
        out.push(b'}');
        if columns.next().is_some() { Err(self.mismatch()) } else { Ok(()) }
    }

    /// Appends the names of the columns that were not sent, if there are any.
    pub(crate) fn put_unchanged<'a>(&self, line: &mut Line<'_>, row: &impl Row<'a>) -> Result<(), Failure> {
        let mut any = false;
        let mut names = Vec::new();
        for (value, column) in row.values().zip(&self.columns) {
            if value? == TupleValue::Unchanged {
                names.extend_from_slice(if any { b"," } else { b"" });
                string(&mut names, &column.name);
                any = true;
            }
        }
        if any {
            let out = line.field("unchanged");
            out.push(b'[');
            out.append(&mut names);
            out.push(b']');
        }
        Ok(())
    }

    /// Types of columns that the catalog has not been asked for.
    pub(crate) fn lacks(&self, types: &Types) -> bool {
        self.columns.iter().any(|column| types.lacks(column.type_oid))
    }

    /// Takes note that the catalog does not have the types that are still missing.
    pub(crate) fn miss(&self, types: &mut Types) {
        self.columns.iter().for_each(|column| types.miss(column.type_oid));
    }

    fn mismatch(&self) -> Failure {
        Failure::Columns(self.qualified())
    }

    fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

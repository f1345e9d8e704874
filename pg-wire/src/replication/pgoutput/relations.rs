//! The tables that a stream has described.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::oid::{self, Oid};
use crate::basic::text::Text;
use crate::replication::pgoutput::{Change, Relation, ReplicaIdentity, Tuple, TupleValue, Type};

/// A table, as a [`Relation`] has described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Number of the table.
    pub relation: Oid,
    /// The schema; empty for `pg_catalog`.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The columns that identify a row in an UPDATE or a DELETE.
    pub replica_identity: ReplicaIdentity,
    /// The columns in the order of the tuples.
    pub columns: Vec<TableColumn>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// The name.
    pub name: String,
    /// The type; see [`oid`](mod@crate::oid).
    pub type_oid: Oid,
    /// The type's modifier, such as the length of a `varchar`; -1 for none.
    pub type_modifier: i32,
    /// Whether the column is part of the replica identity.
    pub is_key: bool,
    /// The name of a type that is not built in, which a [`Type`] has given.
    pub custom_type: Option<TypeName>,
}

/// The name of a type that is not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// The schema; empty for `pg_catalog`.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Table {
    /// The values of a tuple, each with its column. A value without a column is an error.
    ///
    /// ```
    /// use pg_wire::replication::pgoutput::{ChangeDecoder, Change};
    ///
    /// let mut decoder = ChangeDecoder::default();
    /// decoder.decode(b"R\0\0\x40\x01public\0orders\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff")?;
    /// let (change, table) = decoder.decode(b"I\0\0\x40\x01N\0\x01t\0\0\0\x017")?;
    /// let (Change::Insert(insert), Some(table)) = (change, table) else { panic!() };
    /// for pair in table.values(insert.new) {
    ///     let (column, value) = pair?;
    ///     assert_eq!((column.name.as_str(), value.value::<i32>(column.type_oid)?), ("id", 7));
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn values<'t, 'a>(
        &'t self,
        tuple: Tuple<'a>,
    ) -> impl Iterator<Item = Result<(&'t TableColumn, TupleValue<'a>), DecodeError>> + use<'t, 'a> {
        let mut columns = self.columns.iter();
        tuple.iter().map(move |value| {
            let error = DecodeError { message: "TupleData", offset: 0, kind: DecodeErrorKind::Inconsistent };
            let value = value?;
            columns.next().map(|column| (column, value)).ok_or(error)
        })
    }

    fn new(relation: &Relation<'_>, types: &BTreeMap<Oid, TypeName>) -> Result<Self, RelationError> {
        let text = |name: Text<'_>| name.to_str().map(str::to_owned).map_err(|_| RelationError::NotUtf8);
        let columns = relation.columns.iter().map(|column| {
            Ok(TableColumn {
                name: text(column.name)?,
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                is_key: column.is_key(),
                custom_type: types.get(&column.type_oid).cloned(),
            })
        });
        Ok(Self {
            relation: relation.relation,
            namespace: text(relation.namespace)?,
            name: text(relation.name)?,
            replica_identity: relation.replica_identity,
            columns: columns.collect::<Result<_, RelationError>>()?,
        })
    }

    fn check(&self, tuple: Tuple<'_>) -> Result<(), RelationError> {
        let (columns, values) = (self.columns.len(), tuple.len());
        if columns != values {
            return Err(RelationError::Count { relation: self.relation, columns, values });
        }
        Ok(())
    }
}

impl TableColumn {
    /// Name of the type: [`oid::name`](crate::oid::name) of a built-in type, and otherwise the name that the server sent.
    pub fn type_name(&self) -> Option<&str> {
        match &self.custom_type {
            Some(name) => Some(&name.name),
            None => oid::name(self.type_oid),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespace.is_empty() { "pg_catalog" } else { &self.namespace };
        write!(f, "{namespace}.{}", self.name)
    }
}

/// The tables and types that a stream of changes has described so far. A new description replaces the older one.
///
/// Descriptions inside a block of a streamed transaction are valid for this transaction only, until the transaction is committed: the
/// server describes the tables again for each streamed transaction.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    tables: BTreeMap<Oid, Table>,
    types: BTreeMap<Oid, TypeName>,
    /// The tables that transactions in progress have described.
    streamed: BTreeMap<u32, BTreeMap<Oid, Table>>,
    /// The transaction of the current block.
    block: Option<u32>,
}

impl Relations {
    /// No tables and no types.
    pub const fn new() -> Self {
        Self { tables: BTreeMap::new(), types: BTreeMap::new(), streamed: BTreeMap::new(), block: None }
    }

    /// Notes a change, in the order in which changes are received, and returns the table of the change: of [`Relation`], INSERT, UPDATE and
    /// DELETE. A TRUNCATE is checked too, but may have several tables: find each with [`get`](Self::get).
    ///
    /// # Errors
    /// When the table was not described, or a tuple does not have a value for each column.
    #[inline]
    pub fn follow(&mut self, change: &Change<'_>) -> Result<Option<&Table>, RelationError> {
        let table = match change {
            Change::Insert(insert) => {
                let table = self.described(insert.relation)?;
                table.check(insert.new)?;
                table
            }
            Change::Update(update) => {
                let table = self.described(update.relation)?;
                table.check(update.new)?;
                if let Some(old) = update.old {
                    table.check(old.tuple())?;
                }
                table
            }
            Change::Delete(delete) => {
                let table = self.described(delete.relation)?;
                table.check(delete.old.tuple())?;
                table
            }
            other => return self.follow_cold(other),
        };
        Ok(Some(table))
    }

    #[inline(never)]
    fn follow_cold(&mut self, change: &Change<'_>) -> Result<Option<&Table>, RelationError> {
        match change {
            Change::Relation(relation) => {
                let table = Table::new(relation, &self.types)?;
                let tables = match self.block {
                    Some(xid) => self.streamed.entry(xid).or_default(),
                    None => &mut self.tables,
                };
                tables.insert(relation.relation, table);
                return self.described(relation.relation).map(Some);
            }
            Change::Type(type_) => self.name_type(type_)?,
            Change::Truncate(truncate) => {
                for relation in truncate.relations.iter() {
                    self.described(relation)?;
                }
            }
            Change::StreamStart(start) => self.block = Some(start.xid),
            Change::StreamStop(_) => self.block = None,
            Change::StreamCommit(commit) => self.keep(commit.xid),
            Change::StreamPrepare(prepare) => self.keep(prepare.xid),
            Change::StreamAbort(abort) if abort.xid == abort.subxid => {
                self.streamed.remove(&abort.xid);
            }
            _ => {}
        }
        Ok(None)
    }

    fn name_type(&mut self, type_: &Type<'_>) -> Result<(), RelationError> {
        let text = |name: Text<'_>| name.to_str().map(str::to_owned).map_err(|_| RelationError::NotUtf8);
        let name = TypeName { namespace: text(type_.namespace)?, name: text(type_.name)? };
        self.types.insert(type_.type_oid, name);
        Ok(())
    }

    /// The descriptions of a streamed transaction are valid for all that follow its end.
    fn keep(&mut self, xid: u32) {
        self.tables.append(&mut self.streamed.remove(&xid).unwrap_or_default());
    }

    fn described(&self, relation: Oid) -> Result<&Table, RelationError> {
        self.get(relation).ok_or(RelationError::Undescribed { relation })
    }

    /// The table by this number, as it is described at this place in the stream.
    #[inline]
    pub fn get(&self, relation: Oid) -> Option<&Table> {
        match self.block {
            None => self.tables.get(&relation),
            Some(xid) => self.streamed.get(&xid)?.get(&relation),
        }
    }

    /// The tables that are described outside of transactions in progress, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// The name of a type that is not built in.
    pub fn type_name(&self, type_oid: Oid) -> Option<&TypeName> {
        self.types.get(&type_oid)
    }
}

/// A change that does not fit the descriptions before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelationError {
    /// No [`Relation`] has described the table.
    Undescribed {
        /// Number of the table.
        relation: Oid,
    },
    /// A tuple has more or fewer values than its table has columns.
    Count {
        /// Number of the table.
        relation: Oid,
        /// Number of columns.
        columns: usize,
        /// Number of values.
        values: usize,
    },
    /// The name of a table, a column or a type is not UTF-8: the connection needs the parameter `client_encoding=UTF8`.
    NotUtf8,
}

impl fmt::Display for RelationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undescribed { relation } => {
                write!(f, "a change of the table {relation}, which no Relation message has described")
            }
            Self::Count { relation, columns, values } => write!(
                f,
                "a tuple with {values} values for the table {relation}, which was described with {columns} columns"
            ),
            Self::NotUtf8 => f.write_str(
                "a name in a description is not UTF-8: set client_encoding to UTF8 in the connection",
            ),
        }
    }
}

impl core::error::Error for RelationError {}

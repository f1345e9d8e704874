//! The tables that the server has described in a stream.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::oid::{self, Oid};
use crate::basic::text::Text;
use crate::replication::pgoutput::{Change, Relation, ReplicaIdentity, Tuple, TupleValue, Type};

/// A table, with the content of its [`Relation`] message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Oid of the table.
    pub relation: Oid,
    /// Schema of the table; empty for `pg_catalog`.
    pub namespace: String,
    /// Name of the table.
    pub name: String,
    /// Selects the columns that identify a row in an UPDATE or a DELETE.
    pub replica_identity: ReplicaIdentity,
    /// Columns in the order of the values in a tuple.
    pub columns: Vec<TableColumn>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Name of the column.
    pub name: String,
    /// Oid of the column's type; see [`oid`](mod@crate::oid).
    pub type_oid: Oid,
    /// Modifier of the column's type, such as the length of a `varchar`; -1 for none.
    pub type_modifier: i32,
    /// Whether the column is part of the replica identity.
    pub is_key: bool,
    /// Name of the column's type from a [`Type`] message; `None` for a built-in type.
    pub custom_type: Option<TypeName>,
}

/// Name of a type that is not built into PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// Schema of the type; empty for `pg_catalog`.
    pub namespace: String,
    /// Name of the type without its schema.
    pub name: String,
}

impl Table {
    /// Returns the values of a tuple, each with its column. A value without a column is an error.
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

    /// Approximate number of bytes that the table takes in memory.
    fn size(&self) -> usize {
        let columns = self.columns.iter().map(|column| {
            let custom_type = column.custom_type.as_ref().map_or(0, TypeName::size);
            size_of::<TableColumn>() + column.name.len() + custom_type
        });
        size_of::<Self>() + self.namespace.len() + self.name.len() + columns.sum::<usize>()
    }

    fn check(&self, tuple: Tuple<'_>) -> Result<(), RelationError> {
        let (columns, values) = (self.columns.len(), tuple.len());
        if columns != values {
            return Err(RelationError::Count { relation: self.relation, columns, values });
        }
        Ok(())
    }
}

impl TypeName {
    /// Approximate number of bytes that the name takes in memory.
    const fn size(&self) -> usize {
        size_of::<Self>() + self.namespace.len() + self.name.len()
    }
}

impl TableColumn {
    /// Returns the name of the column's type. For a built-in type, this is the result of [`oid::name`](crate::oid::name). For any other
    /// type, the result is the name that the server sent.
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

/// The tables and types that the server has described in a stream of changes so far. A new description replaces the older one.
///
/// A description inside a block of a streamed transaction is valid only for this transaction until the transaction is committed or
/// prepared. After that, the description is valid for all changes. The server describes the tables again in each streamed transaction.
///
/// Outside streamed transactions, the server describes a table again only after the table has been altered. So no description can be
/// dropped before the end of the stream. Therefore the memory for all descriptions is limited to 1 GiB, which is enough for a million
/// tables with ten columns each. A description that exceeds the limit is an error.
#[derive(Clone, Debug)]
pub struct Relations {
    tables: BTreeMap<Oid, Described>,
    types: BTreeMap<Oid, TypeName>,
    /// Tables that were described inside the blocks of each transaction in progress, by transaction number.
    streamed: BTreeMap<u32, BTreeMap<Oid, Described>>,
    /// Number of the streamed transaction whose block is being received, or whose stored changes are being returned; `None` at any other
    /// time.
    block: Option<u32>,
    /// Number of table descriptions received so far.
    received: u64,
    /// Approximate number of bytes that all descriptions take in memory.
    size: usize,
    /// Maximum of `size`.
    limit: usize,
}

/// A table, and the number of its description (`order`). The descriptions of tables are numbered in the order in which they are received.
#[derive(Clone, Debug)]
struct Described {
    table: Table,
    order: u64,
}

impl Default for Relations {
    fn default() -> Self {
        Self::new()
    }
}

impl Relations {
    /// Creates a collection without tables and types.
    pub const fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            types: BTreeMap::new(),
            streamed: BTreeMap::new(),
            block: None,
            received: 0,
            size: 0,
            limit: 1 << 30,
        }
    }

    /// Updates the tables from a change, and returns the table of the change if the change is a [`Relation`], INSERT, UPDATE or DELETE.
    /// Pass the changes in the order in which they are received. A TRUNCATE may have several tables, so `follow` checks the tables but does
    /// not return a table; use [`get`](Self::get) for each table.
    ///
    /// # Errors
    /// When the table was not described, a tuple does not have a value for each column, a name is not UTF-8, or the descriptions exceed the
    /// limit for their memory.
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
                let order = self.next_order();
                return self.describe(relation, order).map(Some);
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
                for described in self.streamed.remove(&abort.xid).unwrap_or_default().values() {
                    self.size -= described.table.size();
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// Returns the number of the next description of a table. The descriptions are numbered in the order in which they are received.
    pub(super) const fn next_order(&mut self) -> u64 {
        self.received += 1;
        self.received
    }

    /// Adds the description of a table, and returns the table. Inside a block of a streamed transaction, the description is valid only for
    /// this transaction until the transaction ends.
    fn describe(&mut self, relation: &Relation<'_>, order: u64) -> Result<&Table, RelationError> {
        let table = Table::new(relation, &self.types)?;
        self.reserve(table.size())?;
        let tables = match self.block {
            Some(xid) => self.streamed.entry(xid).or_default(),
            None => &mut self.tables,
        };
        if let Some(replaced) = tables.insert(relation.relation, Described { table, order }) {
            self.size -= replaced.table.size();
        }
        self.described(relation.relation)
    }

    fn name_type(&mut self, type_: &Type<'_>) -> Result<(), RelationError> {
        let text = |name: Text<'_>| name.to_str().map(str::to_owned).map_err(|_| RelationError::NotUtf8);
        let name = TypeName { namespace: text(type_.namespace)?, name: text(type_.name)? };
        self.reserve(name.size())?;
        if let Some(replaced) = self.types.insert(type_.type_oid, name) {
            self.size -= replaced.size();
        }
        Ok(())
    }

    /// Adds `size`, the size of a new description, to the size of all descriptions. Returns an error if the sum exceeds the limit.
    fn reserve(&mut self, size: usize) -> Result<(), RelationError> {
        let sum = self.size.saturating_add(size);
        if sum > self.limit {
            return Err(RelationError::TooLarge { limit: self.limit });
        }
        self.size = sum;
        Ok(())
    }

    /// Makes the table descriptions of the streamed transaction `xid` valid for all later changes, because the transaction has ended.
    /// Exception: if the same table was described again later, outside this transaction, the later description stays valid. The server does
    /// not send the later description again.
    fn keep(&mut self, xid: u32) {
        for (relation, described) in self.streamed.remove(&xid).unwrap_or_default() {
            let dropped = match self.tables.get(&relation) {
                Some(present) if present.order > described.order => Some(described),
                _ => self.tables.insert(relation, described),
            };
            self.size -= dropped.map_or(0, |dropped| dropped.table.size());
        }
    }

    /// Begins the replay of a streamed transaction: the stored changes of the transaction are returned now. During the replay, the table
    /// descriptions that the transaction contains are valid.
    pub(super) const fn begin_replay(&mut self, xid: u32) {
        self.block = Some(xid);
    }

    /// Updates the tables from a replayed change, as [`follow`](Self::follow) does. If the change describes a table, `order` is the number
    /// of this description.
    pub(super) fn replay(
        &mut self,
        change: &Change<'_>,
        order: u64,
    ) -> Result<Option<&Table>, RelationError> {
        match change {
            Change::Relation(relation) => self.describe(relation, order).map(Some),
            change => self.follow(change),
        }
    }

    /// Ends the replay of a streamed transaction, and makes its table descriptions valid for all later changes.
    pub(super) fn end_replay(&mut self, xid: u32) {
        self.block = None;
        self.keep(xid);
    }

    fn described(&self, relation: Oid) -> Result<&Table, RelationError> {
        self.get(relation).ok_or(RelationError::Undescribed { relation })
    }

    /// Returns the table with the Oid `relation`, as described at the current position in the stream.
    #[inline]
    pub fn get(&self, relation: Oid) -> Option<&Table> {
        let tables = match self.block {
            None => &self.tables,
            Some(xid) => self.streamed.get(&xid)?,
        };
        tables.get(&relation).map(|described| &described.table)
    }

    /// Returns the tables in the order of their Oids. Tables that only transactions in progress have described are left out.
    pub fn iter(&self) -> impl Iterator<Item = &Table> {
        self.tables.values().map(|described| &described.table)
    }

    /// Returns the name of a type that is not built into PostgreSQL; `None` if no [`Type`] message has named the type.
    pub fn type_name(&self, type_oid: Oid) -> Option<&TypeName> {
        self.types.get(&type_oid)
    }
}

/// Error for a change that does not match the tables that the server has described before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelationError {
    /// No [`Relation`] has described the table.
    Undescribed {
        /// Oid of the table.
        relation: Oid,
    },
    /// A tuple has more or fewer values than its table has columns.
    Count {
        /// Oid of the table.
        relation: Oid,
        /// Number of columns of the table.
        columns: usize,
        /// Number of values in the tuple.
        values: usize,
    },
    /// The name of a table, a column or a type is not UTF-8: the connection needs the parameter `client_encoding=UTF8`.
    NotUtf8,
    /// The descriptions of all tables and types take more memory than allowed.
    TooLarge {
        /// Maximum number of bytes.
        limit: usize,
    },
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
            Self::TooLarge { limit } => {
                write!(f, "the descriptions of tables and types exceed {limit} bytes: publish fewer tables")
            }
        }
    }
}

impl core::error::Error for RelationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::list::List;
    use crate::replication::pgoutput::{RelationColumn, StreamAbort, StreamCommit, StreamStart, StreamStop};
    use crate::replication::{Lsn, Timestamp};

    fn relation(relation: Oid, xid: Option<u32>) -> Change<'static> {
        const COLUMNS: &[RelationColumn<'_>] =
            &[RelationColumn { flags: 1, name: Text::EMPTY, type_oid: oid::INT4, type_modifier: -1 }];
        let replica_identity = ReplicaIdentity::Default;
        let (namespace, name, columns) = (Text::EMPTY, Text::EMPTY, List::from(COLUMNS));
        Relation { xid, relation, namespace, name, replica_identity, columns }.into()
    }

    fn added(relations: &mut Relations, change: impl Into<Change<'static>>) -> bool {
        relations.follow(&change.into()).is_ok()
    }

    #[test]
    fn the_memory_of_descriptions_is_limited_and_freed() {
        let mut relations = Relations::new();
        assert!(added(&mut relations, relation(1, None)));
        relations.limit = 3 * relations.size;
        let (time, commit, end) = (Timestamp(0), Lsn(1), Lsn(2));
        for xid in 7..20 {
            assert!(added(&mut relations, relation(1, None)), "a new description replaces the older one");
            assert!(added(&mut relations, StreamStart { xid, first: true }));
            assert!(added(&mut relations, relation(1, Some(xid))));
            assert!(added(&mut relations, relation(2, Some(xid))));
            let error = relations.follow(&relation(3, Some(xid))).unwrap_err();
            assert_eq!(error, RelationError::TooLarge { limit: relations.limit });
            assert!(added(&mut relations, StreamStop {}));
            match xid % 2 {
                0 => assert!(added(&mut relations, StreamAbort { xid, subxid: xid, aborted: None })),
                _ => assert!(added(&mut relations, StreamCommit { xid, flags: 0, commit, end, time })),
            }
            if let Some(described) = relations.tables.remove(&2) {
                relations.size -= described.table.size();
            }
            assert_eq!(relations.size, relations.limit / 3);
        }
        let name = "n".repeat(relations.limit);
        let type_ = Type { xid: None, type_oid: 5, namespace: Text::EMPTY, name: name.as_str().into() };
        assert!(relations.follow(&type_.into()).is_err());
    }
}

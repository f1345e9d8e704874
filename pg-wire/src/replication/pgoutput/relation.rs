//! Descriptions of tables, and of types that are not built into PostgreSQL.

use crate::basic::enums::wire_enum;
use crate::basic::error::DecodeError;
use crate::basic::oid::Oid;
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::list::List;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::replication::enclosed::enclosed;

enclosed! {
    /// Describes a table. The server sends a Relation before the first change of the table, and again after the table has been altered.
    ///
    /// `R`, Int32 xid (only in a block of a streamed transaction), Int32 relation, String namespace, String name, Int8 replica identity,
    /// Int16 n, n times a [`RelationColumn`].
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-RELATION)
    b'R' => pub struct Relation<'a> {
        /// Transaction number; `None` outside a block of a streamed transaction.
        pub xid: Option<u32>,
        /// Oid of the table. Later changes refer to the table by this number.
        pub relation: Oid,
        /// Schema of the table; empty for `pg_catalog`.
        pub namespace: Text<'a>,
        /// Name of the table.
        pub name: Text<'a>,
        /// Selects the columns that identify a row in an UPDATE or a DELETE.
        pub replica_identity: ReplicaIdentity,
        /// The published columns, in the order of the values in the tuples. Generated columns are included only if the
        /// publication includes them.
        pub columns: List<'a, RelationColumn<'a>>,
    }
}

wire_enum! {
    /// Selects the columns that identify a row in an UPDATE or a DELETE. Int8 on the wire.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY)
    pub enum ReplicaIdentity, byte() -> u8 {
        /// `d`: the columns of the primary key identify a row. A table without a primary key replicates no UPDATE or DELETE.
        Default = b'd',
        /// `n`: no columns identify a row. The table replicates no UPDATE or DELETE.
        Nothing = b'n',
        /// `f`: all columns identify a row.
        Full = b'f',
        /// `i`: the columns of a unique index identify a row.
        Index = b'i',
    }
}

impl<'a> Field<'a> for ReplicaIdentity {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u8().map(Self::from)
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(self.byte());
    }
}

/// One column of a [`Relation`].
///
/// Int8 flags, String name, Int32 type, Int32 type modifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// 1 if the column is part of the replica identity. See [`is_key`](Self::is_key).
    pub flags: u8,
    /// Name of the column.
    pub name: Text<'a>,
    /// Oid of the column's type; see [`oid`](mod@crate::oid).
    pub type_oid: Oid,
    /// Modifier of the column's type, such as the length of a `varchar`; -1 for none.
    pub type_modifier: i32,
}

impl RelationColumn<'_> {
    /// Whether the column is part of the replica identity.
    pub fn is_key(&self) -> bool {
        self.flags & 1 != 0
    }
}

impl<'a> Field<'a> for RelationColumn<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            flags: body.u8()?,
            name: Field::read(body)?,
            type_oid: Field::read(body)?,
            type_modifier: Field::read(body)?,
        })
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        let Self { flags, name, type_oid, type_modifier } = self;
        out.byte1(*flags);
        name.write(out);
        type_oid.write(out);
        type_modifier.write(out);
    }
}

enclosed! {
    /// Names a type that is not built into PostgreSQL. The server sends a Type before the [`Relation`] that has a column of this type.
    ///
    /// `Y`, Int32 xid (only in a block of a streamed transaction), Int32 type, String namespace, String name.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TYPE)
    b'Y' => pub struct Type<'a> {
        /// Transaction number; `None` outside a block of a streamed transaction.
        pub xid: Option<u32>,
        /// Oid of the type.
        pub type_oid: Oid,
        /// Schema of the type; empty for `pg_catalog`.
        pub namespace: Text<'a>,
        /// Name of the type.
        pub name: Text<'a>,
    }
}

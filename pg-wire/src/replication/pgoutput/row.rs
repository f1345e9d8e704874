//! Changes of rows: INSERT, UPDATE, DELETE, TRUNCATE.

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::oid::Oid;
use crate::codec::field::Field;
use crate::codec::list::List;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::replication::enclosed::{DecodeEnclosed, Enclosed, Scope, ScopedField};
use crate::replication::pgoutput::tuple::Tuple;

/// Reports that a row was inserted.
///
/// `I`, Int32 xid (only in a block of a streamed transaction), Int32 relation, Byte1 `N`, [`Tuple`].
///
/// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-INSERT)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Insert<'a> {
    /// Number of the transaction or subtransaction that made the change; `None` outside a block of a streamed transaction.
    pub xid: Option<u32>,
    /// Oid of the table, which an earlier [`Relation`](super::Relation) has described.
    pub relation: Oid,
    /// The inserted row.
    pub new: Tuple<'a>,
}

impl Enclosed for Insert<'_> {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(b'I');
        self.xid.write_in(out);
        self.relation.write(out);
        out.byte1(b'N');
        self.new.write(out);
    }
}

impl<'a> DecodeEnclosed<'a> for Insert<'a> {
    const NAME: &'static str = "Insert";

    #[inline(always)]
    fn read(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError> {
        let xid = ScopedField::read_in(body, scope)?;
        let relation = body.u32()?;
        expect_new(body)?;
        Ok(Self { xid, relation, new: Tuple::read_last(body)? })
    }
}

#[inline(always)]
fn expect_new(body: &mut Reader<'_>) -> Result<(), DecodeError> {
    let start = *body;
    match body.u8()? {
        b'N' => Ok(()),
        found => Err(start.error(DecodeErrorKind::UnknownForm { found })),
    }
}

/// A row with its values before an UPDATE or a DELETE.
///
/// Byte1 form, then a [`Tuple`] with a value for each column of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OldRow<'a> {
    /// `K`: the columns of the replica identity. All other columns are NULL.
    Key(Tuple<'a>),
    /// `O`: the whole row, because the replica identity is [`Full`](super::ReplicaIdentity::Full).
    Full(Tuple<'a>),
}

impl<'a> OldRow<'a> {
    /// Returns the values of the row.
    #[inline]
    pub fn tuple(self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }

    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(if matches!(self, Self::Key(_)) { b'K' } else { b'O' });
        self.tuple().write(out);
    }
}

/// Reports that a row was updated.
///
/// `U`, Int32 xid (only in a block of a streamed transaction), Int32 relation, an [`OldRow`] or nothing, Byte1 `N`, [`Tuple`].
///
/// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-UPDATE)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update<'a> {
    /// Number of the transaction or subtransaction that made the change; `None` outside a block of a streamed transaction.
    pub xid: Option<u32>,
    /// Oid of the table, which an earlier [`Relation`](super::Relation) has described.
    pub relation: Oid,
    /// The row before the change. Present in three cases: the replica identity is [`Full`](super::ReplicaIdentity::Full), the UPDATE
    /// changed the key, or a value of the key is stored out of line. In all other cases `None`: then the key in `new` identifies the row.
    pub old: Option<OldRow<'a>>,
    /// The row after the change. For an [`Unchanged`](super::TupleValue::Unchanged) value, `old` may contain the value.
    pub new: Tuple<'a>,
}

impl Enclosed for Update<'_> {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(b'U');
        self.xid.write_in(out);
        self.relation.write(out);
        if let Some(old) = &self.old {
            old.write(out);
        }
        out.byte1(b'N');
        self.new.write(out);
    }
}

impl<'a> DecodeEnclosed<'a> for Update<'a> {
    const NAME: &'static str = "Update";

    #[inline]
    fn read(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError> {
        let xid = ScopedField::read_in(body, scope)?;
        let relation = body.u32()?;
        let start = *body;
        let old = match body.u8()? {
            b'N' => None,
            b'K' => Some(OldRow::Key(Tuple::read_first(body)?)),
            b'O' => Some(OldRow::Full(Tuple::read_first(body)?)),
            found => return Err(start.error(DecodeErrorKind::UnknownForm { found })),
        };
        if old.is_some() {
            expect_new(body)?;
        }
        Ok(Self { xid, relation, old, new: Tuple::read_last(body)? })
    }
}

/// Reports that a row was deleted.
///
/// `D`, Int32 xid (only in a block of a streamed transaction), Int32 relation, [`OldRow`].
///
/// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-DELETE)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delete<'a> {
    /// Number of the transaction or subtransaction that made the change; `None` outside a block of a streamed transaction.
    pub xid: Option<u32>,
    /// Oid of the table, which an earlier [`Relation`](super::Relation) has described.
    pub relation: Oid,
    /// The deleted row: its key, or all of its values.
    pub old: OldRow<'a>,
}

impl Enclosed for Delete<'_> {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(b'D');
        self.xid.write_in(out);
        self.relation.write(out);
        self.old.write(out);
    }
}

impl<'a> DecodeEnclosed<'a> for Delete<'a> {
    const NAME: &'static str = "Delete";

    #[inline]
    fn read(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError> {
        let xid = ScopedField::read_in(body, scope)?;
        let relation = body.u32()?;
        let start = *body;
        let old = match body.u8()? {
            b'K' => OldRow::Key(Tuple::read_last(body)?),
            b'O' => OldRow::Full(Tuple::read_last(body)?),
            found => return Err(start.error(DecodeErrorKind::UnknownForm { found })),
        };
        Ok(Self { xid, relation, old })
    }
}

/// Reports that one statement has truncated tables.
///
/// `T`, Int32 xid (only in a block of a streamed transaction), Int32 n, Int8 flags, Int32\[n\] relations.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TRUNCATE)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncate<'a> {
    /// Number of the transaction or subtransaction that made the change; `None` outside a block of a streamed transaction.
    pub xid: Option<u32>,
    /// Flags of the TRUNCATE statement: a combination of [`CASCADE`](Self::CASCADE) and [`RESTART_IDENTITY`](Self::RESTART_IDENTITY).
    pub flags: u8,
    /// Oids of the tables. An earlier [`Relation`](super::Relation) has described each table.
    pub relations: List<'a, Oid, u32>,
}

impl Truncate<'_> {
    /// Flag: the statement contained CASCADE. Then `relations` also contains published tables that were truncated through CASCADE.
    pub const CASCADE: u8 = 1;
    /// Flag: the statement contained RESTART IDENTITY.
    pub const RESTART_IDENTITY: u8 = 2;
}

impl Enclosed for Truncate<'_> {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(b'T');
        self.xid.write_in(out);
        self.relations.write_count(out);
        out.byte1(self.flags);
        self.relations.write_items(out);
    }
}

impl<'a> DecodeEnclosed<'a> for Truncate<'a> {
    const NAME: &'static str = "Truncate";

    fn read(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError> {
        let xid = ScopedField::read_in(body, scope)?;
        let count = body.u32()?;
        let flags = body.u8()?;
        Ok(Self { xid, flags, relations: List::read_items(body, count)? })
    }
}

//! Messages that are sent inside the data of a CopyData or an XLogData: their trait, and the two macros that declare them.

use alloc::vec::Vec;
use bytes::BufMut;

use crate::basic::code::MessageCode;
use crate::basic::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::basic::length::MAX_LENGTH;
use crate::codec::field::{Field, Payload};
use crate::codec::message::Message;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::encode::append::Append;
use crate::encode::measure::Measure;

/// A message that is sent inside the data of a CopyData or an XLogData. The layout is Byte1 kind, then the fields. The message has no
/// length field: it ends at the end of the data.
pub trait Enclosed {
    /// Returns the name of the message in the PostgreSQL manual.
    fn name(&self) -> &'static str;

    /// Passes the kind and the fields to `out`, in wire order.
    fn write<P: Writer + ?Sized>(&self, out: &mut P);

    /// Appends the kind and the fields to `out`. These bytes are the whole data of the enclosing message.
    ///
    /// ```
    /// use pg_wire::replication::{Enclosed, Lsn, PrimaryKeepalive, Timestamp};
    ///
    /// let mut out = Vec::new();
    /// PrimaryKeepalive { end: Lsn(7), time: Timestamp(9), reply: true }.encode(&mut out)?;
    /// assert_eq!(out, b"k\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\x01");
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Encode::encode`](crate::Encode::encode). After an error, `out` is unchanged.
    fn encode<B: BufMut + ?Sized>(&self, out: &mut B) -> Result<(), EncodeError> {
        let error = |kind| Err(EncodeError { message: self.name(), kind });
        let mut measure = Measure::default();
        self.write(&mut measure);
        if measure.refusal.is_some() || measure.length > MAX_LENGTH - 4 {
            return error(measure.kind());
        }
        let (needed, left) = (measure.length, out.remaining_mut());
        if left < needed {
            return error(EncodeErrorKind::NoRoom { needed, left });
        }
        let mut append = Append::new(out, needed);
        self.write(&mut append);
        if append.finish() { Ok(()) } else { error(EncodeErrorKind::Unstable) }
    }

    /// Wraps this message in a CopyData. Sending the CopyData writes the fields directly into the buffer, without an
    /// intermediate copy.
    ///
    /// ```
    /// use pg_wire::{Encode, replication::{Enclosed, Lsn, StandbyStatusUpdate, Timestamp}};
    ///
    /// let status = StandbyStatusUpdate::durable(Lsn(0x16b_2d50), Timestamp(0));
    /// let mut out = Vec::new();
    /// status.in_copy_data().encode(&mut out)?;
    /// assert_eq!(&out[..6], b"d\0\0\0\x26r");
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    fn in_copy_data(&self) -> InCopyData<'_, Self> {
        InCopyData(self)
    }
}

/// A CopyData with a message as its data. [`Enclosed::in_copy_data`] returns this type.
#[derive(Debug)]
pub struct InCopyData<'m, M: ?Sized>(&'m M);

impl<M: Enclosed + ?Sized> Message for InCopyData<'_, M> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Some(MessageCode::COPY_DATA)
    }
    #[inline]
    fn name(&self) -> &'static str {
        "CopyData"
    }
    #[inline(always)]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        if out.wants_fields() {
            // A trace shows the data of a CopyData as one field. So all fields of the message are first encoded into one buffer.
            let mut data = Vec::new();
            match self.0.encode(&mut data) {
                Ok(()) => out.bytes(&data),
                Err(error) => out.refuse(error.kind),
            }
        } else {
            self.0.write(out);
        }
    }
}

/// A message of a kind that this crate does not know. The fields hold the received bytes of the message unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// Kind of the message: its first byte.
    pub kind: u8,
    /// Bytes of the message after its kind.
    pub data: Payload<'a>,
}

impl Enclosed for Unknown<'_> {
    fn name(&self) -> &'static str {
        "Unknown message"
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(self.kind);
        self.data.write(out);
    }
}

/// Whether a message of pgoutput is inside a block of a streamed transaction: after a
/// [`StreamStart`](super::pgoutput::StreamStart) and before the [`StreamStop`](super::pgoutput::StreamStop). Inside a block,
/// some messages have one more field, the transaction number, before the other fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Outside a block of a streamed transaction.
    #[default]
    Outside,
    /// Inside a block of a streamed transaction.
    InStream,
}

/// A field whose layout may depend on the [`Scope`] of its message.
pub(super) trait ScopedField<'a>: Sized {
    fn read_in(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError>;
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P);
}

impl<'a, T: Field<'a>> ScopedField<'a> for T {
    #[inline(always)]
    fn read_in(body: &mut Reader<'a>, _: Scope) -> Result<Self, DecodeError> {
        T::read(body)
    }
    #[inline(always)]
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P) {
        self.write(out);
    }
}

/// A transaction number: this field exists only inside a block of a streamed transaction.
impl<'a> ScopedField<'a> for Option<u32> {
    #[inline(always)]
    fn read_in(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError> {
        match scope {
            Scope::Outside => Ok(None),
            Scope::InStream => body.u32().map(Some),
        }
    }
    #[inline(always)]
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P) {
        if let Some(xid) = self {
            out.int32(*xid);
        }
    }
}

/// A Boolean field: one byte, which is 1 for true and 0 for false.
impl<'a> ScopedField<'a> for bool {
    #[inline]
    fn read_in(body: &mut Reader<'a>, _: Scope) -> Result<Self, DecodeError> {
        let start = *body;
        match body.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(start.error(DecodeErrorKind::UnknownForm { found })),
        }
    }
    #[inline]
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(u8::from(*self));
    }
}

/// A field of flags: one byte.
impl<'a> ScopedField<'a> for u8 {
    #[inline]
    fn read_in(body: &mut Reader<'a>, _: Scope) -> Result<Self, DecodeError> {
        body.u8()
    }
    #[inline]
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(*self);
    }
}

impl<'a> ScopedField<'a> for u64 {
    #[inline]
    fn read_in(body: &mut Reader<'a>, _: Scope) -> Result<Self, DecodeError> {
        body.array().map(Self::from_be_bytes)
    }
    #[inline]
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P) {
        out.bytes(&self.to_be_bytes());
    }
}

/// Decoding of an enclosed message. An enum that the macro `kinds!` declares uses this trait to decode its variants.
pub(super) trait DecodeEnclosed<'a>: Enclosed + Sized {
    const NAME: &'static str;

    /// Reads the fields after the kind.
    fn read(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError>;

    /// Decodes the whole data. The first byte is the kind.
    #[inline(always)]
    fn decode(data: &'a [u8], scope: Scope) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::NAME, data);
        body.u8()?;
        let message = Self::read(&mut body, scope)?;
        body.finish()?;
        Ok(message)
    }
}

/// Declares a message by its kind and its fields, in wire order.
macro_rules! enclosed {
    ($(#[$doc:meta])* $kind:literal => pub struct $name:ident $(<$life:lifetime>)? {
        $($(#[$fdoc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name $(<$life>)? { $($(#[$fdoc])* pub $field: $type,)* }

        impl $(<$life>)? $crate::replication::enclosed::Enclosed for $name $(<$life>)? {
            #[inline]
            fn name(&self) -> &'static str { stringify!($name) }
            #[inline(always)]
            fn write<P: $crate::codec::writer::Writer + ?Sized>(&self, out: &mut P) {
                out.byte1($kind);
                $($crate::replication::enclosed::ScopedField::write_in(&self.$field, out);)*
            }
        }

        impl<'m $(, $life)?> $crate::replication::enclosed::DecodeEnclosed<'m> for $name $(<$life>)? $(where 'm: $life)? {
            const NAME: &'static str = stringify!($name);
            #[inline]
            fn read(
                body: &mut $crate::codec::reader::Reader<'m>,
                scope: $crate::replication::enclosed::Scope,
            ) -> Result<Self, $crate::DecodeError> {
                let _ = (&body, scope);
                Ok(Self { $($field: $crate::replication::enclosed::ScopedField::read_in(body, scope)?,)* })
            }
        }
    };
}

/// Declares an enum of messages and the functions that decode it. Each line of the macro call declares one message: `kind => Message,
/// path;`. The `path` is a variant of [`Path`](crate::message::table::Path): a `Hot` message is decoded inline, a `Cold` message out of
/// line.
macro_rules! kinds {
    ($(#[$doc:meta])* pub enum $name:ident { $($kind:literal => $message:ident $(<$life:lifetime>)?, $path:ident;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name<'a> {
            $(#[doc = concat!("See [`", stringify!($message), "`].")]
            $message($message $(<$life>)?),)*
            /// A message of a kind that this crate does not know, with the received bytes.
            Unknown($crate::replication::enclosed::Unknown<'a>),
        }

        impl<'a> $name<'a> {
            #[inline]
            fn decode_in(
                data: &'a [u8],
                scope: $crate::replication::enclosed::Scope,
            ) -> Result<Self, $crate::DecodeError> {
                Self::decode_hot(data, scope, || Self::decode_cold(data, scope))
            }

            /// Decodes a message that the macro call marks as `Hot`; calls `decode_cold` for any other message.
            #[inline(always)]
            fn decode_hot(
                data: &'a [u8],
                scope: $crate::replication::enclosed::Scope,
                decode_cold: impl FnOnce() -> Result<Self, $crate::DecodeError>,
            ) -> Result<Self, $crate::DecodeError> {
                match data.first() {
                    $(Some($kind) if const { $crate::message::table::Path::$path.is_hot() } => {
                        $crate::replication::enclosed::DecodeEnclosed::decode(data, scope).map(Self::$message)
                    })*
                    _ => match decode_cold() {
                        // Never used: `decode_cold` returns no `Hot` message. But the compiler does not know this. Without these arms,
                        // the compiler generates the caller's loop twice, once for the case that `decode_cold` returns a `Hot` message.
                        $(Ok(Self::$message(_)) if const { $crate::message::table::Path::$path.is_hot() } => {
                            Ok(Self::Unknown($crate::replication::enclosed::Unknown {
                                kind: $kind,
                                data: $crate::codec::field::Payload(data),
                            }))
                        })*
                        other => other,
                    },
                }
            }

            #[inline(never)]
            fn decode_cold(
                data: &'a [u8],
                scope: $crate::replication::enclosed::Scope,
            ) -> Result<Self, $crate::DecodeError> {
                let mut body = $crate::codec::reader::Reader::new(stringify!($name), data);
                match body.u8()? {
                    $($kind if const { !$crate::message::table::Path::$path.is_hot() } => {
                        $crate::replication::enclosed::DecodeEnclosed::decode(data, scope).map(Self::$message)
                    })*
                    kind => Ok(Self::Unknown($crate::replication::enclosed::Unknown {
                        kind,
                        data: $crate::codec::field::Payload(body.rest()),
                    })),
                }
            }
        }

        impl $crate::replication::enclosed::Enclosed for $name<'_> {
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$message(message) => message.name(),)*
                    Self::Unknown(message) => message.name(),
                }
            }
            fn write<P: $crate::codec::writer::Writer + ?Sized>(&self, out: &mut P) {
                match self {
                    $(Self::$message(message) => message.write(out),)*
                    Self::Unknown(message) => message.write(out),
                }
            }
        }

        $(impl<'a> From<$message $(<$life>)?> for $name<'a> {
            fn from(message: $message $(<$life>)?) -> Self { Self::$message(message) }
        })*
    };
}

pub(super) use {enclosed, kinds};

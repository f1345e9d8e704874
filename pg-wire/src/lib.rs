//! The PostgreSQL wire protocol: every message, both directions, and the buffers around them.
//!
//! Use this crate to write a driver, a pooler, a proxy, a test double or a load generator: it has the messages themselves,
//! without hidden traffic, without an allocation for each message, and with a check of every received byte. For a live
//! connection use an adapter, `pg-stream-tokio` or `pg-stream-async-std`, which add the socket; for the connection phase alone,
//! `pg-auth`.
//!
//! # The map
//!
//! - [`backend`] and [`frontend`]: every message as a plain borrowed struct, which [decodes](Decode::decode),
//!   [encodes](Encode::encode) and [traces](Message::trace).
//! - [`PgProtocol`]: the client's messages as methods, on any [`BufMut`](bytes::BufMut) and on a connection.
//! - [`Frame`]: a message that is not decoded, to forward or to decode.
//! - [`Inbox`] and [`Outbox`]: the buffers, without I/O.
//! - [`Connection`]: both buffers over any stream that can be polled.
//! - [`Bindable`] and [`Params`]: values to send. [`FromValue`]: received values.
//! - [`testing`]: streams in memory, and a peer that follows a transcript.
//!
//! # Ten lines
//!
//! With any buffer:
//!
//! ```
//! use pg_wire::{Inbox, Limits, PgProtocol, Portal, Statement, backend::Backend};
//!
//! // To send: four messages, in one buffer.
//! let mut out = bytes::BytesMut::new();
//! out.parse("add").query("select $1::int4 + $2").finish()?
//!     .bind(Statement("add"), Portal::UNNAMED).execute_and_sync((5i32, 10i32))?;
//!
//! // Received: bytes in pieces of any length.
//! let mut inbox = Inbox::new(Limits::BACKEND);
//! inbox.extend(b"D\0\0\0\x0c\0\x01\0\0\0\x0215Z\0\0\0\x05I");
//! while let Some(frame) = inbox.next()? {
//!     if let Backend::DataRow(row) = frame.backend()? {
//!         assert_eq!(row.values.get(0)?, Some(Some(&b"15"[..])));
//!     }
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `std` (default): [`Connection`] and its halves. Without it the crate is `no_std` and needs `alloc`.
//! - `uuid` (default): `uuid::Uuid` as a parameter and as a value.
//! - `postgres-types`: types with `postgres_types::ToSql` or `FromSql` as parameters and as values.
//!
//! See also the [chapter on the protocol](https://www.postgresql.org/docs/current/protocol.html) in PostgreSQL's manual.

#![cfg_attr(not(feature = "std"), no_std)]
// Received bytes may be hostile: no code may panic on them.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

extern crate alloc;

mod basic;
mod buffer;
mod client;
mod codec;
#[cfg(feature = "std")]
pub mod connection;
mod encode;
mod message;
mod param;
#[cfg(feature = "std")]
pub mod testing;
pub mod value;

pub use basic::code::MessageCode;
pub use basic::enums::{CopyFormat, FormatCode, Target, TransactionStatus};
pub use basic::error::{
    DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, FrameError, FrameErrorKind,
};
pub use basic::oid;
pub use basic::oid::Oid;
pub use basic::sqlstate::SqlState;
pub use basic::text::Text;
pub use buffer::inbox::{Head, Inbox};
pub use buffer::limits::Limits;
pub use buffer::outbox::Outbox;
pub use buffer::run::{Frames, Run};
pub use client::builders::{BindBuilder, FnCallBuilder, ParseBuilder};
pub use client::names::{Portal, Statement};
pub use client::protocol::PgProtocol;
pub use client::target::PutMessage;
pub use codec::field::{Field, Payload, Secret, SecretText};
pub use codec::frame::{Frame, FrameBuf};
pub use codec::list::{Count, Entry, Iter, List, Terminated};
pub use codec::message::{Decode, Direction, Message, Trace};
pub use codec::params::{EncodedParams, ParamList};
pub use codec::put::Put;
pub use codec::reader::Reader;
pub use codec::values::{Values, ValuesIter};
#[cfg(feature = "std")]
pub use connection::{Connection, Error, Fault, ReadHalf, Sink, Source, Split, Transport, WriteHalf};
pub use encode::frames::{Encode, Messages, VisitMessage};
pub use message::copy::{CopyData, CopyDone};
pub use message::{backend, frontend};
pub use param::bindable::Bindable;
pub use param::bound::{Bound, Written};
pub use param::params::{Params, VisitParam};
#[doc(inline)]
pub use value::{Column, Columns, FromRow, FromValue, RowError, ValueError};

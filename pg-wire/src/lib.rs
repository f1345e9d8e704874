//! The PostgreSQL wire protocol: every message of both directions, and buffers for sending and receiving messages.
//!
//! Use this crate to write a driver, a pooler, a proxy, a test double or a load generator. The caller sends and receives each message of
//! the protocol: the crate sends no message that the caller has not queued. The crate does not allocate for each message, and checks every
//! received byte. For a live connection use an adapter, `pg-stream-tokio` or `pg-stream-async-std`, which adds the socket. For the
//! connection phase alone use `pg-auth`.
//!
//! # Modules
//!
//! The crate root exports the names that a driver needs. All other names are in the modules:
//!
//! - [`backend`] and [`frontend`]: each message as a plain borrowed struct, which can be [decoded](Decode::decode),
//!   [encoded](Encode::encode) and [traced](Message::trace).
//! - [`client`]: the client's messages as methods ([`PgProtocol`]), on any [`BufMut`](bytes::BufMut) and on a connection.
//! - [`connection`]: [`Connection`], which combines an inbox, an outbox and a stream; the two halves of a connection.
//! - [`buffer`]: [`Inbox`], [`Outbox`] and their [`Limits`], without I/O.
//! - [`param`]: values to send, [`Bindable`] and [`Params`]. [`value`]: received values, [`FromValue`] and [`Columns`].
//! - [`copy`](mod@copy): the rows of a COPY in text, CSV and binary format, [`CopyWriter`](copy::CopyWriter) and
//!   [`CopyReader`](copy::CopyReader).
//! - [`replication`]: the messages, changes and commands of replication and of base backups, and a live replication stream.
//! - [`session`]: the state of a session, without I/O: which request a reply answers, and which replies are outstanding.
//! - [`oid`]: the object ids of PostgreSQL's types. [`error`](mod@error): the kinds of errors.
//! - `testing` (feature): streams in memory, a test peer that follows a transcript, and faults of a network or a peer.
//!
//! For proxies and for authors of messages:
//!
//! - [`codec`]: [`Frame`], a message that is not yet decoded and can be forwarded; the traits and fields of messages.
//! - [`encode`]: [`Messages`](encode::Messages), which writes several messages in one step.
//! - [`rewrite`]: replaces names or values in a frame, and forwards all other bytes of the frame unchanged.
//!
//! # Example
//!
//! This example uses buffers only, without a connection:
//!
//! ```
//! use pg_wire::{Inbox, Limits, PgProtocol, Portal, Statement, backend::Backend};
//!
//! // Write four messages into one buffer.
//! let mut out = bytes::BytesMut::new();
//! out.parse(Statement("add")).query("select $1::int4 + $2").finish()?
//!     .bind(Statement("add"), Portal::UNNAMED).execute_and_sync((5i32, 10i32))?;
//!
//! // Pass received bytes to the inbox, in pieces of any length.
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
//! - `std` (default): [`Connection`] and its halves. Without this feature the crate is `no_std` and needs `alloc`.
//! - `derive`: the derive macro `FromRow`, for structs that are read from rows.
//! - `uuid`: `uuid::Uuid` as a parameter and as a value.
//! - `postgres-types`: types with `postgres_types::ToSql` or `FromSql` as parameters and as values.
//! - `chrono`, `time`, `serde_json`: the types of the crate with this name, through `postgres-types`.
//! - `testing`: the module `testing`, for the tests of a client or of a server.
//!
//! See also the [chapter on the protocol](https://www.postgresql.org/docs/current/protocol.html) in PostgreSQL's manual.

// On docs.rs, the documentation names the feature that an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "std"), no_std)]
// Received bytes may be hostile, and must not cause a panic. These lints find code that could panic.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

extern crate alloc;

mod basic;
pub mod buffer;
pub mod client;
pub mod codec;
#[cfg(feature = "std")]
pub mod connection;
pub mod copy;
pub mod encode;
mod message;
pub mod param;
pub mod replication;
pub mod rewrite;
pub mod session;
#[cfg(all(feature = "std", any(test, feature = "testing")))]
pub mod testing;
pub mod value;

pub use basic::code::MessageCode;
pub use basic::enums::{FormatCode, TransactionStatus};
pub use basic::error::{self, DecodeError, EncodeError, FrameError};
pub use basic::oid::{self, Oid};
pub use basic::sqlstate::SqlState;
pub use basic::text::Text;
#[doc(no_inline)]
pub use buffer::{Inbox, Limits, Outbox};
#[doc(no_inline)]
pub use client::{PgProtocol, Portal, Statement};
#[doc(no_inline)]
pub use codec::{Decode, Direction, Frame, FrameBuf, Message};
#[cfg(feature = "std")]
#[doc(no_inline)]
pub use connection::{
    Connection, CopyComplete, CopyIn, CopyOut, Error, Fault, ReadHalf, Sink, Source, Split,
    TrackedConnection, Transport, WriteHalf,
};
#[doc(no_inline)]
pub use encode::Encode;
pub use message::{backend, frontend};
#[doc(no_inline)]
pub use param::{Bindable, Bound, Params};
#[doc(no_inline)]
pub use value::{Columns, FromValue, RowError};

//! The client's messages as methods.

use crate::basic::code::MessageCode;
use crate::basic::enums::{FormatCode, Target};
use crate::basic::error::EncodeErrorKind;
use crate::basic::oid::Oid;
use crate::basic::text::Text;
use crate::client::builders::{BindBuilder, FnCallBuilder, ParseBuilder};
use crate::client::names::{Portal, Statement};
use crate::client::target::PutMessage;
use crate::codec::field::Payload;
use crate::codec::message::{Decode, Message};
use crate::codec::writer::Writer;
use crate::message::copy::{CopyData, CopyDone};
use crate::message::frontend::{Close, CopyFail, Describe, Execute, Flush, Query, Sync, Terminate};

/// The client's messages as methods on any [`BufMut`](bytes::BufMut), on an [`Outbox`](crate::Outbox) and on a connection.
///
/// On a buffer each call returns a `Result`, and a rejected message leaves the buffer unchanged:
///
/// ```
/// use pg_wire::PgProtocol;
///
/// let mut out = Vec::new();
/// out.query("select 1")?.terminate()?;
/// assert!(out.query("select '\0'").is_err());
/// assert_eq!(out, b"Q\0\0\0\x0dselect 1\0X\0\0\0\x04");
/// # Ok::<_, pg_wire::EncodeError>(())
/// ```
///
/// On a connection each call returns the connection, so that the next call can be chained. The connection stores the first error. The
/// next call of the connection's `flush` returns this error and sends no messages. See [`Connection`](crate::connection::Connection).
///
/// The caller decides where a batch ends: a method of this trait writes a Sync or a Flush message only if `sync` or `flush` is in the name
/// of the method. Names of statements have the type [`Statement`], names of portals the type [`Portal`].
pub trait PgProtocol: PutMessage {
    /// Runs statements with the simple query protocol. The server ends its replies with one ReadyForQuery; no [`sync`](Self::sync) is
    /// needed.
    ///
    /// See [`Query`].
    #[inline]
    fn query<'m>(&mut self, sql: impl Into<Text<'m>>) -> Self::Chained<'_> {
        self.put_message(&Query { sql: sql.into() })
    }

    /// Prepares a statement with the name `statement`. See [`Parse`](crate::frontend::Parse).
    ///
    /// ```
    /// # use pg_wire::{PgProtocol, Statement, oid};
    /// # let mut out = Vec::new();
    /// out.parse(Statement("add")).query("select $1 + $2").param_types(&[oid::INT4, oid::INT4]).finish()?;
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    #[inline]
    fn parse<'c, 'm>(&'c mut self, statement: Statement<'m>) -> ParseBuilder<'c, 'm, Self> {
        ParseBuilder { out: self, statement, sql: "", types: &[] }
    }

    /// Creates a portal from a statement and parameters. Pass the parameters to `finish`: write a single parameter as `(value,)`,
    /// and no parameters as `()`. See [`Bind`](crate::frontend::Bind).
    ///
    /// ```
    /// # use pg_wire::{FormatCode, PgProtocol, Portal, Statement};
    /// # let mut out = Vec::new();
    /// out.bind(Statement("add"), Portal::UNNAMED)
    ///     .result_formats(&[FormatCode::Binary])
    ///     .finish((1i32, 2i32))?;
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    #[inline]
    fn bind<'c, 'm>(&'c mut self, statement: Statement<'m>, portal: Portal<'m>) -> BindBuilder<'c, 'm, Self> {
        BindBuilder { out: self, statement, portal, result_formats: &[] }
    }

    /// Requests the parameter types and the columns of a statement. See [`Describe`].
    #[inline]
    fn describe_statement(&mut self, statement: Statement<'_>) -> Self::Chained<'_> {
        self.put_message(&Describe { target: Target::Statement, name: statement.0.into() })
    }

    /// Requests the columns of a portal. See [`Describe`].
    #[inline]
    fn describe_portal(&mut self, portal: Portal<'_>) -> Self::Chained<'_> {
        self.put_message(&Describe { target: Target::Portal, name: portal.0.into() })
    }

    /// Runs a portal, for at most `max_rows` rows; 0 means all rows. See [`Execute`].
    ///
    /// More than 2,147,483,647 rows is an error: the server would read the number as negative, and return all rows.
    #[inline(always)]
    fn execute(&mut self, portal: Portal<'_>, max_rows: u32) -> Self::Chained<'_> {
        match i32::try_from(max_rows) {
            Ok(max_rows) => self.put_message(&Execute { portal: portal.0.into(), max_rows }),
            Err(_) => self.put_message(&Rejected(Execute::NAME, EncodeErrorKind::OutOfRange)),
        }
    }

    /// Closes (deallocates) a prepared statement. It is no error if the statement does not exist. See [`Close`].
    #[inline]
    fn close_statement(&mut self, statement: Statement<'_>) -> Self::Chained<'_> {
        self.put_message(&Close { target: Target::Statement, name: statement.0.into() })
    }

    /// Closes a portal. It is no error if the portal does not exist. See [`Close`].
    #[inline]
    fn close_portal(&mut self, portal: Portal<'_>) -> Self::Chained<'_> {
        self.put_message(&Close { target: Target::Portal, name: portal.0.into() })
    }

    /// Appends a [`Flush`] message. The server answers a Flush by sending all replies that are ready. This method does not send the
    /// message: on a connection, call `flush` afterwards.
    #[inline]
    fn flush_msg(&mut self) -> Self::Chained<'_> {
        self.put_message(&Flush {})
    }

    /// Appends a Sync, which ends a batch: the messages of the extended protocol since the last Sync. See [`Sync`].
    #[inline(always)]
    fn sync(&mut self) -> Self::Chained<'_> {
        self.put_message(&Sync {})
    }

    /// Calls a function by its object id. See [`FunctionCall`](crate::frontend::FunctionCall).
    ///
    /// ```
    /// # use pg_wire::{FormatCode, PgProtocol};
    /// # let mut out = Vec::new();
    /// // sqrt(float8)
    /// out.fn_call(1344).result_format(FormatCode::Text).finish(("9",))?;
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    #[inline]
    fn fn_call<'c>(&'c mut self, function: Oid) -> FnCallBuilder<'c, Self> {
        FnCallBuilder { out: self, function, result_format: FormatCode::Binary }
    }

    /// Appends data of a COPY. See [`CopyData`]. For blocks of 64 KiB and more, use
    /// [`Connection::send_copy_data`](crate::connection::Connection::send_copy_data), which copies only the first 1,024 bytes of a block.
    #[inline]
    fn copy_data(&mut self, data: &[u8]) -> Self::Chained<'_> {
        self.put_message(&CopyData { data: Payload(data) })
    }

    /// Ends the data of a COPY. See [`CopyDone`].
    #[inline]
    fn copy_done(&mut self) -> Self::Chained<'_> {
        self.put_message(&CopyDone {})
    }

    /// Aborts a COPY, with a reason. See [`CopyFail`].
    #[inline]
    fn copy_fail(&mut self, reason: &str) -> Self::Chained<'_> {
        self.put_message(&CopyFail { reason: reason.into() })
    }

    /// Ends the session. See [`Terminate`].
    #[inline]
    fn terminate(&mut self) -> Self::Chained<'_> {
        self.put_message(&Terminate {})
    }
}

impl<T: PutMessage> PgProtocol for T {}

/// Placeholder for a message that cannot be sent. Holds the name of the message and the reason. Encoding the placeholder always fails, and
/// the error contains this name and this reason.
struct Rejected(&'static str, EncodeErrorKind);

impl Message for Rejected {
    fn code(&self) -> Option<MessageCode> {
        None
    }
    fn name(&self) -> &'static str {
        self.0
    }
    #[inline(always)]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.refuse(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::error::EncodeError;
    use crate::basic::oid;
    use crate::buffer::outbox::Outbox;
    use crate::codec::list::List;
    use crate::codec::values::Values;
    use crate::message::frontend::{Bind, FunctionCall};
    use crate::param::params::Params;
    use crate::param::{bindable::Bindable, bound::Bound};
    use crate::params;
    use alloc::vec::Vec;
    use core::cell::Cell;

    #[test]
    fn the_methods_write_the_messages_of_their_names() {
        let mut out = Vec::new();
        let all = |out: &mut Vec<u8>| -> Result<(), EncodeError> {
            out.query("q")?;
            out.parse(Statement("s")).query("q").param_types(&[oid::INT4]).finish()?;
            out.describe_statement(Statement("s"))?.describe_portal(Portal("p"))?.execute(Portal("p"), 5)?;
            out.close_statement(Statement("s"))?.close_portal(Portal("p"))?.flush_msg()?.sync()?;
            out.copy_data(b"x")?.copy_done()?.copy_fail("no")?.terminate()?;
            Ok(())
        };
        all(&mut out).expect("all messages are valid");
        assert_eq!(
            out,
            b"Q\0\0\0\x06q\0P\0\0\0\x0es\0q\0\0\x01\0\0\0\x17D\0\0\0\x07Ss\0D\0\0\0\x07Pp\0E\0\0\0\x0ap\0\0\0\0\x05\
              C\0\0\0\x07Ss\0C\0\0\0\x07Pp\0H\0\0\0\x04S\0\0\0\x04d\0\0\0\x05xc\0\0\0\x04f\0\0\0\x07no\0X\0\0\0\x04"
        );
    }

    #[test]
    fn a_bind_with_values_can_be_decoded() {
        let mut out = Vec::new();
        out.bind(Statement("s"), Portal("p"))
            .result_formats(&[FormatCode::Binary])
            .finish((1i32, "x"))
            .expect("valid");
        let bind = Bind::decode(&out[5..]).expect("well-formed");
        assert_eq!((bind.statement, bind.portal), ("s".into(), "p".into()));
        assert_eq!(bind.parameters.formats, List::from(&[FormatCode::Binary, FormatCode::Text]));
        assert_eq!(bind.parameters.values, Values::from(&[Some(&b"\0\0\0\x01"[..]), Some(b"x")]));
        assert_eq!(bind.result_formats, List::from(&[FormatCode::Binary]));

        let mut dynamic = Vec::new();
        let params = params![1i32, "x"];
        dynamic
            .bind(Statement("s"), Portal("p"))
            .result_formats(&[FormatCode::Binary])
            .finish(params)
            .expect("valid");
        assert_eq!(dynamic, out);
    }

    #[test]
    fn execute_and_sync_writes_the_same_bytes_as_three_calls() {
        for portal in [Portal::UNNAMED, Portal("p")] {
            let (mut one, mut three) = (Vec::new(), Vec::new());
            let bind = one.bind(Statement("s"), portal).result_formats(&[FormatCode::Binary]);
            bind.execute_and_sync((1i32, "x")).expect("valid");
            let bind = three.bind(Statement("s"), portal).result_formats(&[FormatCode::Binary]);
            bind.finish((1i32, "x"))
                .expect("valid")
                .execute(portal, 0)
                .expect("valid")
                .sync()
                .expect("valid");
            assert_eq!(one, three);

            let mut outbox = Outbox::new(1024);
            outbox
                .bind(Statement("s"), portal)
                .result_formats(&[FormatCode::Binary])
                .execute_and_sync((1i32, "x"));
            assert_eq!(outbox.batch(), three);
            let mut without_sync = Vec::new();
            let bind = without_sync.bind(Statement("s"), portal).result_formats(&[FormatCode::Binary]);
            bind.execute(params![1i32, "x"]).expect("valid");
            assert_eq!(without_sync, three[..three.len() - 5]);
        }
    }

    #[test]
    fn a_function_call_with_values_can_be_decoded() {
        let mut out = Vec::new();
        out.fn_call(1344).result_format(FormatCode::Text).finish(("9",)).expect("valid");
        let call = FunctionCall::decode(&out[5..]).expect("well-formed");
        assert_eq!((call.function, call.result_format), (1344, FormatCode::Text));
        assert_eq!(call.arguments.values, Values::from(&[Some(&b"9"[..])]));
    }

    #[test]
    fn a_row_limit_over_the_range_of_its_field_is_rejected() {
        let mut out = Vec::new();
        let error =
            out.execute(Portal::UNNAMED, 1 << 31).expect_err("the server would read the limit as negative");
        assert_eq!(error.kind, EncodeErrorKind::OutOfRange);
        assert_eq!(out, b"");
    }

    #[test]
    fn too_many_parameters_are_rejected() {
        let mut out = Vec::new();
        let error = out
            .bind(Statement(""), Portal(""))
            .finish(alloc::vec![1i32; 65_536])
            .expect_err("one parameter too many");
        assert_eq!(error.kind, EncodeErrorKind::TooMany { what: "parameters", given: 65_536, most: 65_535 });
        let formats = alloc::vec![FormatCode::Binary; 65_536];
        let mixed = [&formats[..], &[FormatCode::Text]].concat();
        out.bind(Statement(""), Portal("")).result_formats(&mixed).finish(()).expect_err("too many formats");
        assert_eq!(out, b"");
    }

    #[test]
    fn a_value_that_grows_while_it_is_written_is_rejected() {
        /// A value that grows: each call of `bound` returns one byte more than the call before.
        struct Growing(Cell<usize>);
        impl Bindable for Growing {
            fn bound(&self) -> Bound<'_> {
                self.0.set(self.0.get() + 1);
                Bound::text(&"................"[..self.0.get()])
            }
        }
        let mut outbox = Outbox::new(1024);
        outbox.bind(Statement(""), Portal("")).finish((Growing(Cell::new(0)),));
        assert_eq!(outbox.commit().expect_err("the value has grown").kind, EncodeErrorKind::Unstable);
        assert_eq!(outbox.pending(), b"");
    }

    #[test]
    fn parameters_with_an_incorrect_count_are_rejected() {
        /// Parameters whose `count` differs from the number of values that `each` visits.
        struct WrongCount(usize, Vec<&'static str>);
        impl Params for WrongCount {
            fn count(&self) -> usize {
                self.0
            }
            fn each(&self, visit: &mut impl crate::param::params::VisitParam) {
                self.1.iter().for_each(|value| visit.visit(value));
            }
        }
        for long in [0, 400] {
            let shown = || alloc::vec!["x", &"y".repeat(400).leak()[..long]];
            for count in [0, 1, 3, 65_536, usize::MAX] {
                let mut out = Vec::new();
                let error = out.bind(Statement(""), Portal("")).finish(WrongCount(count, shown()));
                assert_eq!(
                    error.expect_err("two values are visited").kind,
                    EncodeErrorKind::Unstable,
                    "{count}"
                );
                assert_eq!(out, b"");
                let mut outbox = Outbox::new(1024);
                // The fast path for a Bind needs an outbox with allocated memory, so a Sync is queued first. The fast path must also detect
                // the wrong count of parameters.
                outbox.sync().bind(Statement(""), Portal("")).finish(WrongCount(count, shown()));
                assert_eq!(
                    outbox.commit().expect_err("two values are visited").kind,
                    EncodeErrorKind::Unstable,
                    "{count}"
                );
                assert_eq!(outbox.pending(), b"");
            }
            let mut out = Vec::new();
            out.bind(Statement(""), Portal("")).finish(WrongCount(2, shown())).expect("the count is correct");
        }
    }
}

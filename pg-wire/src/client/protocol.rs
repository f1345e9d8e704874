//! The client's messages as methods, one list for every place a message can be put.

use bytes::BufMut;

use crate::basic::code::MessageCode;
use crate::basic::enums::{FormatCode, Target};
use crate::basic::error::{EncodeError, EncodeErrorKind};
use crate::basic::oid::Oid;
use crate::basic::text::Text;
use crate::buffer::outbox::Outbox;
use crate::codec::field::Payload;
use crate::codec::list::List;
use crate::codec::message::Message;
use crate::codec::put::{Put, write_formats};
use crate::encode::frames::{self, Messages, Sealed, VisitMessage};
use crate::message::copy::{CopyData, CopyDone};
use crate::message::frontend::{Close, CopyFail, Describe, Execute, Flush, Parse, Query, Sync, Terminate};
use crate::param::params::Params;

/// A prepared statement by its name, in a call that could also mean a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a>(pub &'a str);

/// A portal by its name, in a call that could also mean a statement.
///
/// A statement is not taken for one:
///
/// ```compile_fail,E0308
/// # use pg_wire::{Outbox, PgProtocol, Statement};
/// # let mut out = Outbox::new(1024);
/// out.execute(Statement("s"), 0);
/// ```
///
/// ```
/// # use pg_wire::{Outbox, PgProtocol, Portal};
/// # let mut out = Outbox::new(1024);
/// out.execute(Portal("p"), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portal<'a>(pub &'a str);

impl Statement<'_> {
    /// The statement without a name, which the next Parse without a name, or a simple query, replaces.
    pub const UNNAMED: Statement<'static> = Statement("");
}

impl Portal<'_> {
    /// The portal without a name, which the next Bind without a name, or a simple query, replaces.
    pub const UNNAMED: Portal<'static> = Portal("");
}

/// Where [`PgProtocol`] puts messages: any [`BufMut`], an [`Outbox`], a connection or its `WriteHalf`.
#[diagnostic::on_unimplemented(
    message = "messages cannot be put into `{Self}`",
    note = "is `.finish(…)` missing at the end of a builder?"
)]
pub trait PutMessage {
    /// What a call returns, for the next one to be chained to: on a buffer a `Result`, on a connection the connection
    /// itself, which remembers the first error until it is flushed.
    type Chained<'c>
    where
        Self: 'c;

    /// Appends a message, or a tuple of them.
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> Self::Chained<'c>;
}

impl<B: BufMut> PutMessage for B {
    type Chained<'c>
        = Result<&'c mut B, EncodeError>
    where
        B: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> Self::Chained<'c> {
        frames::encode(message, self)?;
        Ok(self)
    }
}

impl PutMessage for Outbox {
    type Chained<'c> = &'c mut Self;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        Outbox::put(self, message);
        self
    }
}

#[cfg(feature = "std")]
impl<T> PutMessage for crate::Connection<T> {
    type Chained<'c>
        = &'c mut Self
    where
        T: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        self.put(message)
    }
}

#[cfg(feature = "std")]
impl<W: crate::Sink> PutMessage for crate::WriteHalf<W> {
    type Chained<'c>
        = &'c mut Self
    where
        W: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        self.put(message)
    }
}

/// What a client can say, as methods on any [`BufMut`], on an [`Outbox`] and on a connection.
///
/// On a buffer each call returns a `Result`, and a refused message leaves the buffer as it was:
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
/// On a connection calls are chained and errors wait for `flush`. See [`Connection`](crate::connection::Connection).
///
/// No call sends a Sync or a Flush that its name does not tell: where a batch ends is the caller's to say. Names: `""` is the unnamed
/// statement or portal.
pub trait PgProtocol: PutMessage {
    /// Runs statements by the simple protocol. Ends in one ReadyForQuery, without a [`sync`](Self::sync).
    ///
    /// See [`Query`].
    #[inline]
    fn query<'m>(&mut self, sql: impl Into<Text<'m>>) -> Self::Chained<'_> {
        self.put_message(&Query { sql: sql.into() })
    }

    /// Prepares a statement by this name. See [`Parse`].
    ///
    /// ```
    /// # use pg_wire::{PgProtocol, oid};
    /// # let mut out = Vec::new();
    /// out.parse("add").query("select $1 + $2").param_types(&[oid::INT4, oid::INT4]).finish()?;
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    #[inline]
    fn parse<'c, 'm>(&'c mut self, statement: &'m str) -> ParseBuilder<'c, 'm, Self> {
        ParseBuilder { out: self, statement, sql: "", types: &[] }
    }

    /// Makes a portal out of a statement and parameters. Ends with `finish(params)`: a single parameter is `(value,)`, none
    /// is `()`. See [`Bind`](crate::frontend::Bind).
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

    /// Asks for the parameters and the columns of a statement. See [`Describe`].
    #[inline]
    fn describe_statement(&mut self, name: &str) -> Self::Chained<'_> {
        self.put_message(&Describe { target: Target::Statement, name: name.into() })
    }

    /// Asks for the columns of a portal. See [`Describe`].
    #[inline]
    fn describe_portal(&mut self, name: &str) -> Self::Chained<'_> {
        self.put_message(&Describe { target: Target::Portal, name: name.into() })
    }

    /// Runs a portal, for `max_rows` rows at most; 0 for all. See [`Execute`].
    ///
    /// More than 2,147,483,647 rows is refused: the server would take it for all.
    #[inline(always)]
    fn execute(&mut self, portal: Portal<'_>, max_rows: u32) -> Self::Chained<'_> {
        self.put_message(&ExecuteUpTo { portal, max_rows })
    }

    /// Closes (deallocates) a prepared statement; it is no error if there is none. See [`Close`].
    #[inline]
    fn close_statement(&mut self, name: &str) -> Self::Chained<'_> {
        self.put_message(&Close { target: Target::Statement, name: name.into() })
    }

    /// Closes a portal; it is no error if there is none. See [`Close`].
    #[inline]
    fn close_portal(&mut self, name: &str) -> Self::Chained<'_> {
        self.put_message(&Close { target: Target::Portal, name: name.into() })
    }

    /// Asks the server for its replies so far: the message [`Flush`], which sends nothing by itself.
    #[inline]
    fn flush_msg(&mut self) -> Self::Chained<'_> {
        self.put_message(&Flush {})
    }

    /// Ends a batch of the extended protocol. See [`Sync`].
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

    /// Sends data of a COPY. See [`CopyData`], and for blocks of 64 KiB and more
    /// [`Connection::send_copy_data`](crate::connection::Connection::send_copy_data), which does not copy them.
    #[inline]
    fn copy_data(&mut self, data: &[u8]) -> Self::Chained<'_> {
        self.put_message(&CopyData { data: Payload(data) })
    }

    /// Ends the data of a COPY. See [`CopyDone`].
    #[inline]
    fn copy_done(&mut self) -> Self::Chained<'_> {
        self.put_message(&CopyDone {})
    }

    /// Gives up a COPY, with a reason. See [`CopyFail`].
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

/// A Parse in the making; see [`PgProtocol::parse`].
///
/// One that is left unfinished is a warning, `unused_must_use`:
///
/// ```compile_fail
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol};
/// # let mut out = Outbox::new(1024);
/// out.parse("s").query("select 1");
/// ```
///
/// ```
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol};
/// # let mut out = Outbox::new(1024);
/// out.parse("s").query("select 1").finish();
/// ```
#[must_use = "nothing is sent without `finish`"]
#[derive(Debug)]
pub struct ParseBuilder<'c, 'm, P: ?Sized> {
    out: &'c mut P,
    statement: &'m str,
    sql: &'m str,
    types: &'m [Oid],
}

impl<'c, 'm, P: PutMessage> ParseBuilder<'c, 'm, P> {
    /// The statement's text.
    #[inline]
    pub fn query(self, sql: &'m str) -> Self {
        Self { sql, ..self }
    }

    /// Types of the first parameters; 0 leaves one to the server, and so does a list that ends before it.
    #[inline]
    pub fn param_types(self, types: &'m [Oid]) -> Self {
        Self { types, ..self }
    }

    /// Puts the message.
    #[inline]
    pub fn finish(self) -> P::Chained<'c> {
        let Self { out, statement, sql, types } = self;
        out.put_message(&Parse { statement: statement.into(), sql: sql.into(), types: List::from(types) })
    }
}

/// A Bind in the making; see [`PgProtocol::bind`].
///
/// One that is left unfinished is a warning, `unused_must_use`:
///
/// ```compile_fail
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol, Portal, Statement};
/// # let mut out = Outbox::new(1024);
/// out.bind(Statement("s"), Portal::UNNAMED);
/// ```
///
/// ```
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol, Portal, Statement};
/// # let mut out = Outbox::new(1024);
/// out.bind(Statement("s"), Portal::UNNAMED).finish(());
/// ```
///
/// And a portal cannot be given where a statement is meant:
///
/// ```compile_fail,E0308
/// # use pg_wire::{Outbox, PgProtocol, Portal, Statement};
/// # let mut out = Outbox::new(1024);
/// out.bind(Portal("p"), Statement("s")).finish(());
/// ```
#[must_use = "nothing is sent without `finish`"]
#[derive(Debug)]
pub struct BindBuilder<'c, 'm, P: ?Sized> {
    out: &'c mut P,
    statement: Statement<'m>,
    portal: Portal<'m>,
    result_formats: &'m [FormatCode],
}

impl<'c, 'm, P: PutMessage> BindBuilder<'c, 'm, P> {
    /// Formats of the columns to come: none when all are text, one for all, or one each.
    #[inline]
    pub fn result_formats(self, formats: &'m [FormatCode]) -> Self {
        Self { result_formats: formats, ..self }
    }

    /// Puts the message, with these parameters: a tuple, an array, a slice, or [`params!`](crate::params). Each
    /// parameter brings its own format.
    #[inline(always)]
    pub fn finish(self, params: impl Params) -> P::Chained<'c> {
        let Self { out, statement, portal, result_formats } = self;
        out.put_message(&BindParams { statement, portal, params, result_formats })
    }

    /// Puts the message, and an [`Execute`] of its portal for all rows: as [`finish`](Self::finish) and
    /// [`execute`](PgProtocol::execute), in less time.
    #[inline(always)]
    pub fn execute(self, params: impl Params) -> P::Chained<'c> {
        let Self { out, statement, portal, result_formats } = self;
        let bind = BindParams { statement, portal, params, result_formats };
        out.put_message(&(bind, ExecuteUpTo { portal, max_rows: 0 }))
    }

    /// Puts the message, an [`Execute`] of its portal for all rows, and a [`Sync`]: all that a prepared statement takes which runs by
    /// itself. As [`finish`](Self::finish), [`execute`](PgProtocol::execute) and [`sync`](PgProtocol::sync), in less time.
    ///
    /// ```
    /// # use pg_wire::{PgProtocol, Portal, Statement};
    /// # let mut out = Vec::new();
    /// out.bind(Statement("add"), Portal::UNNAMED).execute_and_sync((1i32, 2i32))?;
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    #[inline(always)]
    pub fn execute_and_sync(self, params: impl Params) -> P::Chained<'c> {
        let Self { out, statement, portal, result_formats } = self;
        out.put_message(&Run(BindParams { statement, portal, params, result_formats }))
    }
}

/// A FunctionCall in the making; see [`PgProtocol::fn_call`].
///
/// One that is left unfinished is a warning, `unused_must_use`:
///
/// ```compile_fail
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol};
/// # let mut out = Outbox::new(1024);
/// out.fn_call(1344);
/// ```
///
/// ```
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol};
/// # let mut out = Outbox::new(1024);
/// out.fn_call(1344).finish((9.0,));
/// ```
#[must_use = "nothing is sent without `finish`"]
#[derive(Debug)]
pub struct FnCallBuilder<'c, P: ?Sized> {
    out: &'c mut P,
    function: Oid,
    result_format: FormatCode,
}

impl<'c, P: PutMessage> FnCallBuilder<'c, P> {
    /// The format wanted for the result; binary if nothing is said.
    #[inline]
    pub fn result_format(self, format: FormatCode) -> Self {
        Self { result_format: format, ..self }
    }

    /// Puts the message, with these arguments; each brings its own format.
    #[inline]
    pub fn finish(self, arguments: impl Params) -> P::Chained<'c> {
        let Self { out, function, result_format } = self;
        out.put_message(&CallParams { function, arguments, result_format })
    }
}

/// [`Execute`] with a count that cannot turn into "all" by wrapping.
struct ExecuteUpTo<'a> {
    portal: Portal<'a>,
    max_rows: u32,
}

impl Message for ExecuteUpTo<'_> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Some(MessageCode::EXECUTE)
    }
    #[inline]
    fn name(&self) -> &'static str {
        "Execute"
    }
    #[inline(always)]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        match i32::try_from(self.max_rows) {
            Ok(max_rows) => Execute { portal: self.portal.0.into(), max_rows }.write(out),
            Err(_) => out.refuse(EncodeErrorKind::OutOfRange),
        }
    }
}

/// [`Bind`](crate::frontend::Bind) out of values instead of their bytes.
struct BindParams<'a, T> {
    statement: Statement<'a>,
    portal: Portal<'a>,
    params: T,
    result_formats: &'a [FormatCode],
}

impl<T: Params> Message for BindParams<'_, T> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Some(MessageCode::BIND)
    }
    #[inline]
    fn name(&self) -> &'static str {
        "Bind"
    }
    #[inline(always)]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.text(self.portal.0.into());
        out.text(self.statement.0.into());
        out.params(&self.params);
        write_formats(self.result_formats, out);
    }
    const MEASURED: bool = T::KNOWN;
}

/// An Execute of the unnamed portal for all rows, and a Sync: what follows most Binds.
const EXECUTE_AND_SYNC: &[u8; 15] = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";

/// A Bind, an Execute of its portal for all rows, and a Sync.
struct Run<'a, T>(BindParams<'a, T>);

impl<T: Params> Sealed for Run<'_, T> {}

impl<T: Params> Messages for Run<'_, T> {
    const KNOWN: bool = T::KNOWN;

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitMessage) {
        let Self(bind) = self;
        visit.visit(bind);
        if bind.portal == Portal::UNNAMED {
            visit.visit_constant(EXECUTE_AND_SYNC);
        } else {
            visit.visit(&ExecuteUpTo { portal: bind.portal, max_rows: 0 });
            visit.visit(&Sync {});
        }
    }
}

/// [`FunctionCall`](crate::frontend::FunctionCall) out of values instead of their bytes.
struct CallParams<T> {
    function: Oid,
    arguments: T,
    result_format: FormatCode,
}

impl<T: Params> Message for CallParams<T> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Some(MessageCode::FUNCTION_CALL)
    }
    #[inline]
    fn name(&self) -> &'static str {
        "FunctionCall"
    }
    #[inline(always)]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.int32(self.function);
        out.params(&self.arguments);
        out.int16(self.result_format.code());
    }
    const MEASURED: bool = T::KNOWN;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::oid;
    use crate::codec::message::Decode;
    use crate::codec::values::Values;
    use crate::message::frontend::{Bind, FunctionCall};
    use crate::param::{bindable::Bindable, bound::Bound};
    use crate::params;
    use alloc::vec::Vec;
    use core::cell::Cell;

    #[test]
    fn the_methods_write_the_messages_of_their_names() {
        let mut out = Vec::new();
        let all = |out: &mut Vec<u8>| -> Result<(), EncodeError> {
            out.query("q")?;
            out.parse("s").query("q").param_types(&[oid::INT4]).finish()?;
            out.describe_statement("s")?.describe_portal("p")?.execute(Portal("p"), 5)?;
            out.close_statement("s")?.close_portal("p")?.flush_msg()?.sync()?;
            out.copy_data(b"x")?.copy_done()?.copy_fail("no")?.terminate()?;
            Ok(())
        };
        all(&mut out).expect("nothing is wrong with these");
        assert_eq!(
            out,
            b"Q\0\0\0\x06q\0P\0\0\0\x0es\0q\0\0\x01\0\0\0\x17D\0\0\0\x07Ss\0D\0\0\0\x07Pp\0E\0\0\0\x0ap\0\0\0\0\x05\
              C\0\0\0\x07Ss\0C\0\0\0\x07Pp\0H\0\0\0\x04S\0\0\0\x04d\0\0\0\x05xc\0\0\0\x04f\0\0\0\x07no\0X\0\0\0\x04"
        );
    }

    #[test]
    fn a_bind_of_values_decodes_as_the_message() {
        let mut out = Vec::new();
        out.bind(Statement("s"), Portal("p"))
            .result_formats(&[FormatCode::Binary])
            .finish((1i32, "x"))
            .expect("fine");
        let bind = Bind::decode(&out[5..]).expect("well-formed");
        assert_eq!((bind.statement, bind.portal), ("s".into(), "p".into()));
        assert_eq!(bind.parameter_formats, List::from(&[FormatCode::Binary, FormatCode::Text]));
        assert_eq!(bind.parameters, Values::from(&[Some(&b"\0\0\0\x01"[..]), Some(b"x")]));
        assert_eq!(bind.result_formats, List::from(&[FormatCode::Binary]));

        let mut dynamic = Vec::new();
        let params = params![1i32, "x"];
        dynamic
            .bind(Statement("s"), Portal("p"))
            .result_formats(&[FormatCode::Binary])
            .finish(params)
            .expect("fine");
        assert_eq!(dynamic, out);
    }

    #[test]
    fn one_call_writes_what_three_write() {
        for portal in [Portal::UNNAMED, Portal("p")] {
            let (mut one, mut three) = (Vec::new(), Vec::new());
            let bind = one.bind(Statement("s"), portal).result_formats(&[FormatCode::Binary]);
            bind.execute_and_sync((1i32, "x")).expect("fine");
            let bind = three.bind(Statement("s"), portal).result_formats(&[FormatCode::Binary]);
            bind.finish((1i32, "x")).expect("fine").execute(portal, 0).expect("fine").sync().expect("fine");
            assert_eq!(one, three);

            let mut outbox = Outbox::new(1024);
            outbox
                .bind(Statement("s"), portal)
                .result_formats(&[FormatCode::Binary])
                .execute_and_sync((1i32, "x"));
            assert_eq!(outbox.batch(), three);
            let mut without_sync = Vec::new();
            let bind = without_sync.bind(Statement("s"), portal).result_formats(&[FormatCode::Binary]);
            bind.execute(params![1i32, "x"]).expect("fine");
            assert_eq!(without_sync, three[..three.len() - 5]);
        }
    }

    #[test]
    fn a_call_of_values_decodes_as_the_message() {
        let mut out = Vec::new();
        out.fn_call(1344).result_format(FormatCode::Text).finish(("9",)).expect("fine");
        let call = FunctionCall::decode(&out[5..]).expect("well-formed");
        assert_eq!((call.function, call.result_format), (1344, FormatCode::Text));
        assert_eq!(call.arguments, Values::from(&[Some(&b"9"[..])]));
    }

    #[test]
    fn more_rows_than_the_field_can_tell_do_not_turn_into_all() {
        let mut out = Vec::new();
        let error = out.execute(Portal::UNNAMED, 1 << 31).expect_err("it would be negative");
        assert_eq!(error.kind, EncodeErrorKind::OutOfRange);
        assert_eq!(out, b"");
    }

    #[test]
    fn too_many_parameters_are_refused() {
        let mut out = Vec::new();
        let error =
            out.bind(Statement(""), Portal("")).finish(alloc::vec![1i32; 65_536]).expect_err("one too many");
        assert_eq!(error.kind, EncodeErrorKind::TooMany { what: "parameters", given: 65_536, most: 65_535 });
        let formats = alloc::vec![FormatCode::Binary; 65_536];
        let mixed = [&formats[..], &[FormatCode::Text]].concat();
        out.bind(Statement(""), Portal("")).result_formats(&mixed).finish(()).expect_err("too many formats");
        assert_eq!(out, b"");
    }

    #[test]
    fn a_value_that_changes_while_it_is_written_cannot_break_the_stream() {
        /// Longer with every look at it.
        struct Growing(Cell<usize>);
        impl Bindable for Growing {
            fn bound(&self) -> Bound<'_> {
                self.0.set(self.0.get() + 1);
                Bound::text(&"................"[..self.0.get()])
            }
        }
        let mut outbox = Outbox::new(1024);
        outbox.bind(Statement(""), Portal("")).finish((Growing(Cell::new(0)),));
        assert_eq!(outbox.commit().expect_err("it grew").kind, EncodeErrorKind::Unstable);
        assert_eq!(outbox.pending(), b"");
    }

    #[test]
    fn parameters_that_are_not_as_many_as_they_say_are_refused() {
        /// Says one number, and shows another.
        struct Lying(usize, Vec<&'static str>);
        impl Params for Lying {
            fn count(&self) -> usize {
                self.0
            }
            fn each(&self, visit: &mut impl crate::VisitParam) {
                self.1.iter().for_each(|value| visit.visit(value));
            }
        }
        for long in [0, 400] {
            let shown = || alloc::vec!["x", &"y".repeat(400).leak()[..long]];
            for count in [0, 1, 3, 65_536, usize::MAX] {
                let mut out = Vec::new();
                let error = out.bind(Statement(""), Portal("")).finish(Lying(count, shown()));
                assert_eq!(error.expect_err("there are two").kind, EncodeErrorKind::Unstable, "{count}");
                assert_eq!(out, b"");
                let mut outbox = Outbox::new(1024);
                // With room, and without.
                outbox.sync().bind(Statement(""), Portal("")).finish(Lying(count, shown()));
                assert_eq!(
                    outbox.commit().expect_err("there are two").kind,
                    EncodeErrorKind::Unstable,
                    "{count}"
                );
                assert_eq!(outbox.pending(), b"");
            }
            let mut out = Vec::new();
            out.bind(Statement(""), Portal("")).finish(Lying(2, shown())).expect("it tells the truth");
        }
    }
}

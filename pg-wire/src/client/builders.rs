//! Builders of the messages that have optional parts.

use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;
use crate::client::names::{Portal, Statement};
use crate::client::target::PutMessage;
use crate::codec::list::List;
use crate::codec::message::Message;
use crate::encode::messages::{Messages, Sealed, VisitMessage};
use crate::message::frontend::{Bind, Execute, FunctionCall, Parse, Sync};
use crate::param::params::Params;

/// Builder of a Parse; see [`PgProtocol::parse`](crate::PgProtocol::parse).
///
/// The compiler warns about a builder without `finish` (`unused_must_use`):
///
/// ```compile_fail
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol, Statement};
/// # let mut out = Outbox::new(1024);
/// out.parse(Statement("s")).query("select 1");
/// ```
///
/// ```
/// # #![deny(unused_must_use)]
/// # use pg_wire::{Outbox, PgProtocol, Statement};
/// # let mut out = Outbox::new(1024);
/// out.parse(Statement("s")).query("select 1").finish();
/// ```
#[must_use = "nothing is sent without `finish`"]
#[derive(Debug)]
pub struct ParseBuilder<'c, 'm, P: ?Sized> {
    pub(super) out: &'c mut P,
    pub(super) statement: Statement<'m>,
    pub(super) sql: &'m str,
    pub(super) types: &'m [Oid],
}

impl<'c, 'm, P: PutMessage> ParseBuilder<'c, 'm, P> {
    /// Sets the SQL text of the statement.
    #[inline]
    pub fn query(self, sql: &'m str) -> Self {
        Self { sql, ..self }
    }

    /// Sets the types of the parameters `$1`, `$2` and so on. The list may be shorter than the number of parameters. The server chooses the
    /// type of each parameter that has type 0 or is not in the list.
    #[inline]
    pub fn param_types(self, types: &'m [Oid]) -> Self {
        Self { types, ..self }
    }

    /// Appends the Parse message to the buffer or the connection that created this builder.
    #[inline]
    pub fn finish(self) -> P::Chained<'c> {
        let Self { out, statement, sql, types } = self;
        out.put_message(&Parse { statement: statement.0.into(), sql: sql.into(), types: List::from(types) })
    }
}

/// Builder of a Bind; see [`PgProtocol::bind`](crate::PgProtocol::bind).
///
/// The compiler warns about a builder without `finish` (`unused_must_use`):
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
/// If a portal is passed instead of a statement, the compiler reports an error:
///
/// ```compile_fail,E0308
/// # use pg_wire::{Outbox, PgProtocol, Portal, Statement};
/// # let mut out = Outbox::new(1024);
/// out.bind(Portal("p"), Statement("s")).finish(());
/// ```
#[must_use = "nothing is sent without `finish`"]
#[derive(Debug)]
pub struct BindBuilder<'c, 'm, P: ?Sized> {
    pub(super) out: &'c mut P,
    pub(super) statement: Statement<'m>,
    pub(super) portal: Portal<'m>,
    pub(super) result_formats: &'m [FormatCode],
}

impl<'c, 'm, P: PutMessage> BindBuilder<'c, 'm, P> {
    /// Sets the formats of the result columns: an empty list if all columns are text, one code for all columns, or one code for each
    /// column.
    #[inline]
    pub fn result_formats(self, formats: &'m [FormatCode]) -> Self {
        Self { result_formats: formats, ..self }
    }

    /// Appends the Bind message with the parameters `params`: a tuple, an array, a slice, or [`params!`](crate::params). Each parameter
    /// determines its own format.
    #[inline(always)]
    pub fn finish(self, params: impl Params) -> P::Chained<'c> {
        self.out.put_message(&bind(self.statement, self.portal, params, self.result_formats))
    }

    /// Appends the Bind message, and an [`Execute`] of the bound portal for all rows. Takes less time than [`finish`](Self::finish)
    /// followed by [`execute`](crate::PgProtocol::execute), because both messages share one check of the buffer's capacity.
    #[inline(always)]
    pub fn execute(self, params: impl Params) -> P::Chained<'c> {
        let bind = bind(self.statement, self.portal, params, self.result_formats);
        self.out.put_message(&(bind, Execute { portal: self.portal.0.into(), max_rows: 0 }))
    }

    /// Appends the Bind message, an [`Execute`] of the bound portal for all rows, and a [`Sync`]: all messages that one run of a prepared
    /// statement needs. Takes less time than [`finish`](Self::finish), [`execute`](crate::PgProtocol::execute) and
    /// [`sync`](crate::PgProtocol::sync) one after another, because the three messages share one check of the buffer's capacity.
    ///
    /// ```
    /// # use pg_wire::{PgProtocol, Portal, Statement};
    /// # let mut out = Vec::new();
    /// out.bind(Statement("add"), Portal::UNNAMED).execute_and_sync((1i32, 2i32))?;
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    #[inline(always)]
    pub fn execute_and_sync(self, params: impl Params) -> P::Chained<'c> {
        self.out.put_message(&BindExecuteSync(bind(self.statement, self.portal, params, self.result_formats)))
    }
}

/// Returns a Bind. If all result formats are equal, the list of formats is shortened: to one code, or to none for text.
#[inline(always)]
fn bind<'a, P: Params>(
    statement: Statement<'a>,
    portal: Portal<'a>,
    parameters: P,
    result_formats: &'a [FormatCode],
) -> Bind<'a, P> {
    let result_formats = match result_formats {
        [first, rest @ ..] if rest.iter().all(|format| format == first) => match first {
            FormatCode::Text => &[],
            format => core::slice::from_ref(format),
        },
        formats => formats,
    };
    Bind {
        portal: portal.0.into(),
        statement: statement.0.into(),
        parameters,
        result_formats: List::from(result_formats),
    }
}

/// A Bind, an Execute of the bound portal for all rows, and a Sync.
struct BindExecuteSync<'a, P>(Bind<'a, P>);

/// An Execute of the unnamed portal for all rows, and a Sync. Written as constant bytes, the two messages take two stores instead of six.
const EXECUTE_AND_SYNC: &[u8; 15] = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";

impl<P: Params> Sealed for BindExecuteSync<'_, P> {}

impl<P: Params> Messages for BindExecuteSync<'_, P> {
    const KNOWN: bool = Bind::<P>::MEASURED;

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitMessage) {
        let Self(bind) = self;
        visit.visit(bind);
        if bind.portal.is_empty() {
            visit.visit_constant(EXECUTE_AND_SYNC);
        } else {
            visit.visit(&Execute { portal: bind.portal, max_rows: 0 });
            visit.visit(&Sync {});
        }
    }
}

/// Builder of a FunctionCall; see [`PgProtocol::fn_call`](crate::PgProtocol::fn_call).
///
/// The compiler warns about a builder without `finish` (`unused_must_use`):
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
    pub(super) out: &'c mut P,
    pub(super) function: Oid,
    pub(super) result_format: FormatCode,
}

impl<'c, P: PutMessage> FnCallBuilder<'c, P> {
    /// Sets the format of the result; binary by default.
    #[inline]
    pub fn result_format(self, format: FormatCode) -> Self {
        Self { result_format: format, ..self }
    }

    /// Appends the FunctionCall message with the given arguments. Each argument determines its own format.
    #[inline]
    pub fn finish(self, arguments: impl Params) -> P::Chained<'c> {
        let Self { out, function, result_format } = self;
        out.put_message(&FunctionCall { function, arguments, result_format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::field::Field;
    use crate::encode::fill::Fill;

    #[test]
    fn result_formats_are_sent_as_the_shortest_list() {
        use FormatCode::{Binary, Text};
        let written = |formats: &[FormatCode]| {
            let mut bytes = [0; 12];
            let mut fill = Fill::frame(None, &mut bytes).expect("there is room");
            bind(Statement::UNNAMED, Portal::UNNAMED, (), formats).result_formats.write(&mut fill);
            bytes[4..].to_vec()
        };
        assert_eq!(written(&[]), [0; 8]);
        assert_eq!(written(&[Text, Text]), [0; 8]);
        assert_eq!(written(&[Binary, Binary, Binary])[..4], [0, 1, 0, 1]);
        assert_eq!(written(&[Binary, Text])[..6], [0, 2, 0, 1, 0, 0]);
    }
}

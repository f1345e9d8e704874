//! Parameters of a message, in two forms: Rust values, or encoded bytes.

use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::codec::field::Field;
use crate::codec::list::List;
use crate::codec::reader::Reader;
use crate::codec::values::Values;
use crate::codec::writer::Writer;
use crate::param::params::Params;

/// Encoded parameters of a Bind, or encoded arguments of a FunctionCall. The layout is Int16 n, Int16\[n\] format codes, Int16 m, m times:
/// Int32 length or -1 for NULL, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncodedParams<'a> {
    /// Format codes of the values: an empty list when all values are text, one code for all values, or one code for each value.
    pub formats: List<'a, FormatCode>,
    /// Values of the parameters or arguments.
    pub values: Values<'a>,
}

impl EncodedParams<'_> {
    /// An empty list of parameters.
    pub const NONE: EncodedParams<'static> = EncodedParams { formats: List::EMPTY, values: Values::EMPTY };
}

impl<'a> Field<'a> for EncodedParams<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { formats: Field::read(body)?, values: Field::read(body)? })
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        self.formats.write(out);
        self.values.write(out);
    }
}

/// Parameters in one of two forms: Rust values ([`Params`]), which determine their own formats, or [`EncodedParams`].
pub trait ParamList {
    /// Whether the compiler can inline the computation of the length; see [`Message::MEASURED`](crate::Message::MEASURED).
    #[doc(hidden)]
    const MEASURED: bool;

    /// Passes the formats and the values to `out`.
    fn write<P: Writer + ?Sized>(&self, out: &mut P);
}

impl ParamList for EncodedParams<'_> {
    const MEASURED: bool = true;

    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        Field::write(self, out);
    }
}

impl<T: Params> ParamList for T {
    const MEASURED: bool = T::KNOWN;

    #[inline(always)]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.params(self);
    }
}

//! Parameters that `postgres-types` encodes.

use alloc::vec::Vec;

use bytes::BytesMut;
use postgres_types::{Format, IsNull, ToSql, Type};

use super::Mismatch;
use crate::basic::enums::FormatCode;
use crate::basic::oid::{self, Oid};
use crate::param::bindable::{Bindable, WrongType, check};
use crate::param::bound::Bound;
use crate::param::params::{Params, VisitParam};

/// A parameter that [`postgres_types::ToSql`] has encoded, in the format that `ToSql` chooses.
///
/// `new` encodes the parameter once, into its own buffer. The parameter can then be bound any number of times. To send many
/// different parameters with fewer allocations, use [`SqlParams`], which reuses one buffer.
#[derive(Clone, Debug)]
pub struct SqlParam {
    bytes: BytesMut,
    form: Form,
}

impl SqlParam {
    /// Encodes `value` as a parameter of the PostgreSQL type `type_`.
    ///
    /// # Errors
    /// When the value cannot be converted to this type, or is outside the range of the type.
    pub fn new(value: &dyn ToSql, type_: &Type) -> Result<Self, Mismatch> {
        let mut bytes = BytesMut::new();
        let form = encode(value, type_, &mut bytes)?;
        Ok(Self { bytes, form })
    }

    fn encoded(&self) -> Encoded<'_> {
        Encoded { bytes: &self.bytes, form: self.form }
    }
}

impl Bindable for SqlParam {
    fn bound(&self) -> Bound<'_> {
        self.encoded().into_bound()
    }

    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        self.encoded().check_type(type_oid)
    }
}

/// The parameters of a message, which [`postgres_types::ToSql`] has encoded into one buffer. The buffer is reused after
/// [`clear`](Self::clear).
///
/// ```
/// use pg_wire::{PgProtocol, Portal, Statement, value::SqlParams};
/// use postgres_types::Type;
///
/// let (mut params, mut out) = (SqlParams::new(), Vec::new());
/// for (id, name) in [(1, "Mercury"), (2, "Venus")] {
///     params.clear();
///     params.push(&id, &Type::INT4)?.push(&name, &Type::TEXT)?;
///     out.bind(Statement("add"), Portal::UNNAMED).finish(&params)?;
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SqlParams {
    bytes: BytesMut,
    /// For each parameter: the index in `bytes` at which the bytes of the parameter end, and the parameter's format and type.
    params: Vec<(usize, Form)>,
}

impl SqlParams {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes `value` as the next parameter, of the PostgreSQL type `type_`.
    ///
    /// # Errors
    /// When the value cannot be converted to this type, or is outside the range of the type. The list is then unchanged.
    pub fn push(&mut self, value: &dyn ToSql, type_: &Type) -> Result<&mut Self, Mismatch> {
        let start = self.bytes.len();
        match encode(value, type_, &mut self.bytes) {
            Ok(form) => self.params.push((self.bytes.len(), form)),
            Err(error) => {
                self.bytes.truncate(start);
                return Err(error);
            }
        }
        Ok(self)
    }

    /// Removes all parameters. The memory of the list is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.params.clear();
    }
}

impl Params for SqlParams {
    fn count(&self) -> usize {
        self.params.len()
    }

    fn each(&self, visit: &mut impl VisitParam) {
        let mut start = 0;
        for &(end, form) in &self.params {
            visit.visit(&Encoded { bytes: self.bytes.get(start..end).unwrap_or_default(), form });
            start = end;
        }
    }
}

/// The form of an encoded parameter.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// The format; `None` for NULL.
    format: Option<FormatCode>,
    type_oid: Oid,
}

/// An encoded parameter, borrowed.
#[derive(Clone, Copy, Debug)]
struct Encoded<'a> {
    bytes: &'a [u8],
    form: Form,
}

impl<'a> Encoded<'a> {
    fn into_bound(self) -> Bound<'a> {
        match self.form.format {
            None => Bound::NULL,
            Some(FormatCode::Text) => Bound::text(self.bytes),
            Some(_) => Bound::binary(self.bytes),
        }
    }
}

impl Bindable for Encoded<'_> {
    fn bound(&self) -> Bound<'_> {
        self.into_bound()
    }

    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        // The binary form of all these types is the text itself. So a value of one type in this list can be sent for a parameter of any
        // type in this list.
        const TEXTS: &[Oid] = &[oid::TEXT, oid::VARCHAR, oid::BPCHAR, oid::NAME];
        match self.form.format {
            Some(FormatCode::Binary) if TEXTS.contains(&self.form.type_oid) => {
                check::<SqlParam>(type_oid, TEXTS)
            }
            Some(FormatCode::Binary) => check::<SqlParam>(type_oid, &[self.form.type_oid]),
            _ => Ok(()),
        }
    }
}

/// Appends the encoded value to `out`.
fn encode(value: &dyn ToSql, type_: &Type, out: &mut BytesMut) -> Result<Form, Mismatch> {
    let format =
        match (value.to_sql_checked(type_, out).map_err(Mismatch::Other)?, value.encode_format(type_)) {
            (IsNull::Yes, _) => None,
            (IsNull::No, Format::Text) => Some(FormatCode::Text),
            (IsNull::No, Format::Binary) => Some(FormatCode::Binary),
        };
    Ok(Form { format, type_oid: type_.oid() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::protocol::PgProtocol;
    use crate::client::{Portal, Statement};

    #[test]
    fn a_parameter_fits_its_type_and_types_with_the_same_form() {
        let text = SqlParam::new(&"a", &Type::TEXT).expect("a text");
        assert_eq!(text.check_type(oid::VARCHAR), Ok(()));
        let number = SqlParam::new(&5i32, &Type::INT4).expect("a number");
        assert_eq!((number.check_type(oid::INT4), number.check_type(16_384)), (Ok(()), Ok(())));
        assert!(number.check_type(oid::INT8).is_err());
    }

    #[test]
    fn a_list_writes_the_same_bytes_as_single_parameters() {
        let single = (
            SqlParam::new(&5i32, &Type::INT4).expect("a number"),
            SqlParam::new(&None::<i32>, &Type::INT4).expect("NULL"),
            SqlParam::new(&"a", &Type::TEXT).expect("a text"),
        );
        let mut expected = Vec::new();
        expected.bind(Statement("s"), Portal::UNNAMED).finish(&single).expect("a Bind");
        let (mut list, mut out) = (SqlParams::new(), Vec::new());
        for _ in 0..2 {
            out.clear();
            list.clear();
            list.push(&5i32, &Type::INT4).expect("a number").push(&None::<i32>, &Type::INT4).expect("NULL");
            list.push(&"a", &Type::TEXT).expect("a text");
            out.bind(Statement("s"), Portal::UNNAMED).finish(&list).expect("a Bind");
            assert_eq!(out, expected);
        }
    }

    /// A value whose `to_sql` writes some bytes and then returns an error.
    #[derive(Debug)]
    struct Failing;

    impl ToSql for Failing {
        fn to_sql(
            &self,
            _: &Type,
            out: &mut BytesMut,
        ) -> Result<IsNull, alloc::boxed::Box<dyn core::error::Error + Sync + Send>> {
            out.extend_from_slice(b"partial");
            Err("failed".into())
        }
        fn accepts(_: &Type) -> bool {
            true
        }
        postgres_types::to_sql_checked!();
    }

    #[test]
    fn a_value_that_cannot_be_encoded_leaves_the_list_unchanged() {
        let mut list = SqlParams::new();
        list.push(&"a", &Type::TEXT).expect("a text");
        assert!(list.push(&Failing, &Type::TEXT).is_err());
        assert!(list.push(&1i32, &Type::TEXT).is_err());
        assert_eq!((list.count(), &list.bytes[..]), (1, &b"a"[..]));
    }
}

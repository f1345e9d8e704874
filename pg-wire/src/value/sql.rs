//! Values and parameters that `postgres-types` converts.

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type};

use super::sound::{self, Target};
use super::{Column, FromValue, Mismatch};
use crate::basic::enums::FormatCode;
use crate::basic::oid::{self, Oid};
use crate::param::bindable::{Bindable, WrongType, check};
use crate::param::bound::Bound;

/// A value read by [`postgres_types::FromSql`], from the binary format.
///
/// Before `FromSql` reads the value, its bytes are checked against the structure of its PostgreSQL type: lengths, counts, dimensions,
/// ranges. With this check, the types in the table are safe with a hostile server. Each of these types is tested with damaged values, and
/// allocates at most a fixed multiple of the received bytes:
///
/// | crate | types |
/// | --- | --- |
/// | the standard library | `bool`, `i8` to `i64`, `u32`, `f32`, `f64`, `&str`, `String`, `Box<str>`, `Cow<str>`, `&[u8]`, `Vec<u8>`, `Vec<T>`, `Box<[T]>`, `[T; N]`, `Option<T>`, `Box<T>`, `HashMap<String, Option<String>>`, `SystemTime`, `IpAddr` |
/// | postgres-types | `Date<T>`, `Timestamp<T>`, `Json<T>`, `PgLsn` |
/// | bit-vec, cidr, eui48, geo-types, serde_json, smol_str, uuid | all |
/// | chrono, jiff, time | all |
/// | rust_decimal | `Decimal`; a number outside its range is an error |
///
/// Two kinds of values are an error, because many implementations of `FromSql` would read them as a different value:
/// - `infinity` and `-infinity` of dates and timestamps. [`Date`](postgres_types::Date) and [`Timestamp`](postgres_types::Timestamp) can
///   represent both values, and read them without an error.
/// - `24:00:00`, a valid `time` that no Rust type for a time of day can represent.
///
/// For a type of your own, implement [`FromValue`] instead of `FromSql` in two cases:
///
/// - The type can represent infinity or `24:00:00`.
/// - The `FromSql` of the type reserves memory for a count that is in the bytes, and reads a PostgreSQL type that no type in the table
///   reads. The bytes of such a PostgreSQL type are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sql<T>(pub T);

impl<'a, T: FromSql<'a>> Sql<T> {
    /// Reads a value, in binary format, of a type that is not built into PostgreSQL, such as an enum, a composite or an array of enums.
    /// `type_` is the definition of the type, which the caller has read from the catalogs.
    ///
    /// # Errors
    /// When `T` does not accept the type, or when the value is malformed or outside the range of `T`.
    pub fn read(value: Option<&'a [u8]>, type_: &Type) -> Result<Self, Mismatch> {
        if !T::accepts(type_) {
            return Err(Mismatch::Type { wanted: core::any::type_name::<T>() });
        }
        if let Some(bytes) = value {
            sound::check(type_, bytes, Target::of::<T>())?;
        }
        T::from_sql_nullable(type_, value)
            .map(Self)
            .map_err(|error| if value.is_none() { Mismatch::Null } else { Mismatch::Other(error) })
    }
}

/// Reads values of types that are built into PostgreSQL. For all other types, use [`Sql::read`].
impl<'a, T: FromSql<'a>> FromValue<'a> for Sql<T> {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        Self::read(value, &known_type::<T>(column)?)
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        known_type::<T>(column).map(drop)
    }
}

/// Returns the type of a column. Returns an error if the type is not built into PostgreSQL, or if a `T` cannot read the column.
fn known_type<'a, T: FromSql<'a>>(column: Column) -> Result<Type, Mismatch> {
    let Some(known) = Type::from_oid(column.type_oid) else {
        return Err(Mismatch::Type { wanted: "of a type built into PostgreSQL: use Sql::read" });
    };
    if column.format != FormatCode::Binary {
        return Err(Mismatch::Type { wanted: "in binary format" });
    }
    if T::accepts(&known) { Ok(known) } else { Err(Mismatch::Type { wanted: core::any::type_name::<T>() }) }
}

/// A parameter that [`postgres_types::ToSql`] has encoded, in the format that `ToSql` chooses.
///
/// `new` encodes the parameter once, into its own buffer. The parameter can then be bound any number of times.
#[derive(Clone, Debug)]
pub struct SqlParam {
    bytes: Option<BytesMut>,
    format: postgres_types::Format,
    type_oid: Oid,
}

impl SqlParam {
    /// Encodes `value` as a parameter of the PostgreSQL type `type_`.
    ///
    /// # Errors
    /// When the value cannot be converted to this type, or is outside the range of the type.
    pub fn new(value: &dyn ToSql, type_: &Type) -> Result<Self, Mismatch> {
        let mut bytes = BytesMut::new();
        let bytes = match value.to_sql_checked(type_, &mut bytes).map_err(Mismatch::Other)? {
            IsNull::Yes => None,
            IsNull::No => Some(bytes),
        };
        Ok(Self { bytes, format: value.encode_format(type_), type_oid: type_.oid() })
    }
}

impl Bindable for SqlParam {
    fn bound(&self) -> Bound<'_> {
        match (&self.bytes, self.format) {
            (None, _) => Bound::NULL,
            (Some(bytes), postgres_types::Format::Text) => Bound::text(bytes),
            (Some(bytes), postgres_types::Format::Binary) => Bound::binary(bytes),
        }
    }

    fn check_type(&self, type_oid: Oid) -> Result<(), WrongType> {
        // Types whose binary forms are the text.
        const TEXTS: &[Oid] = &[oid::TEXT, oid::VARCHAR, oid::BPCHAR, oid::NAME];
        match self.bound().format() {
            Some(FormatCode::Binary) if TEXTS.contains(&self.type_oid) => check::<Self>(type_oid, TEXTS),
            Some(FormatCode::Binary) => check::<Self>(type_oid, &[self.type_oid]),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn a_timestamp_is_encoded_and_decoded() {
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let param = SqlParam::new(&time, &Type::TIMESTAMPTZ).expect("a timestamp");
        let column = Column { type_oid: Type::TIMESTAMPTZ.oid(), format: FormatCode::Binary };
        let Sql(back) = Sql::<SystemTime>::from_value(param.bound().as_bytes(), column).expect("a timestamp");
        assert_eq!(time, back);
    }

    #[test]
    fn a_parameter_fits_its_type_and_types_with_the_same_form() {
        let text = SqlParam::new(&"a", &Type::TEXT).expect("a text");
        assert_eq!(text.check_type(oid::VARCHAR), Ok(()));
        let number = SqlParam::new(&5i32, &Type::INT4).expect("a number");
        assert_eq!((number.check_type(oid::INT4), number.check_type(16_384)), (Ok(()), Ok(())));
        assert!(number.check_type(oid::INT8).is_err());
    }

    #[test]
    fn another_type_is_rejected_in_both_directions() {
        assert!(SqlParam::new(&1i32, &Type::TIMESTAMPTZ).is_err());
        let column = Column { type_oid: Type::TEXT.oid(), format: FormatCode::Binary };
        assert!(matches!(Sql::<i32>::from_value(Some(b"1234"), column), Err(Mismatch::Type { .. })));
        let text = Column { type_oid: Type::INT4.oid(), format: FormatCode::Text };
        assert!(matches!(Sql::<i32>::from_value(Some(b"1"), text), Err(Mismatch::Type { .. })));
    }

    #[test]
    fn null_is_encoded_and_decoded_as_an_option() {
        let param = SqlParam::new(&None::<i32>, &Type::INT4).expect("NULL");
        assert_eq!(param.bound().as_bytes(), None);
        let column = Column { type_oid: Type::INT4.oid(), format: FormatCode::Binary };
        assert_eq!(Sql::from_value(None, column).expect("NULL"), Sql(None::<i32>));
        assert!(matches!(Sql::<i32>::from_value(None, column), Err(Mismatch::Null)));
    }
}

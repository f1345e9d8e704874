//! Values that `postgres-types` reads.

use postgres_types::{FromSql, FromSqlOwned, Type};

use super::sound::{self, Target};
use super::{Column, FromValue, Mismatch, convert};
use crate::basic::enums::FormatCode;

/// A value read by [`postgres_types::FromSql`], from both formats.
///
/// The type `T` must not borrow from the row; for a type that borrows, such as `Vec<&str>`, see [`SqlRef`].
///
/// # Types
///
/// Before `FromSql` reads the value, its bytes are checked against the structure of its PostgreSQL type: lengths, counts, dimensions,
/// ranges. With this check, the types in the table are safe with a hostile server. Each of these types is tested with damaged values, and
/// allocates at most a fixed multiple of the received bytes:
///
/// | crate | types |
/// | --- | --- |
/// | the standard library | `bool`, `i8` to `i64`, `u32`, `f32`, `f64`, `String`, `Box<str>`, `Vec<u8>`, `Vec<T>`, `Box<[T]>`, `[T; N]`, `Option<T>`, `Box<T>`, `HashMap<String, Option<String>>`, `SystemTime`, `IpAddr`; with [`SqlRef`] also `&str`, `Cow<str>`, `&[u8]` |
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
/// - The `FromSql` of the type reads a count from the bytes and reserves memory for this count, and no type in the table reads the same
///   PostgreSQL type. [`Sql`] does not check the bytes of such a PostgreSQL type, so a hostile server could send a huge count.
///
/// # Text format
///
/// `FromSql` reads only the binary form of a value, so a value in text format is converted to its binary form first. The result is byte for
/// byte the binary form that the server sends. These types are converted, also as members of each other:
///
/// - arrays, composites, domains, enums, ranges and multiranges;
/// - the types that are built into PostgreSQL, with the exceptions in the table below;
/// - `citext`, `hstore` and the types of `ltree`, found by their names.
///
/// A value that cannot be converted is an error, which names the type and the reason. Request binary format for such a value:
///
/// | type | in text format |
/// | --- | --- |
/// | `date`, `timestamp`, `timestamptz` | the DateStyle must be ISO, which is the default |
/// | `interval` | the IntervalStyle must be `postgres`, which is the default |
/// | `regclass` and the other `reg` types | only a number is converted, because the oid of a name is not known |
/// | `money` | the form depends on the setting `lc_monetary` |
/// | `tsquery`, `record`, types of other extensions | cannot be converted |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sql<T>(pub T);

impl<T: FromSqlOwned> Sql<T> {
    /// Reads a value of a type that is not built into PostgreSQL, such as an enum, a composite or an array of enums. `format` is the format
    /// of the column. `type_` is the definition of the type. The caller reads the definition from the server's catalogs, because a
    /// RowDescription has only the oid of the type, not the types of its members.
    ///
    /// ```
    /// use pg_wire::{FormatCode, value::Sql};
    /// use postgres_types::{FromSql, Kind, Type};
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct Mood(String);
    ///
    /// impl<'a> FromSql<'a> for Mood {
    ///     fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
    ///         Ok(Self(str::from_utf8(raw)?.into()))
    ///     }
    ///     fn accepts(type_: &Type) -> bool {
    ///         matches!(type_.kind(), Kind::Enum(_))
    ///     }
    /// }
    ///
    /// let mood = Type::new("mood".into(), 16_400, Kind::Enum(vec!["sad".into(), "happy".into()]), "public".into());
    /// let moods = Type::new("_mood".into(), 16_401, Kind::Array(mood), "public".into());
    /// let Sql(read) = Sql::<Vec<Option<Mood>>>::read(Some(b"{sad,NULL}"), FormatCode::Text, &moods)?;
    /// assert_eq!(read, [Some(Mood("sad".into())), None]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When `T` does not accept the type, when the value is malformed or outside the range of `T`, or when a value in text format cannot
    /// be converted.
    pub fn read(value: Option<&[u8]>, format: FormatCode, type_: &Type) -> Result<Self, Mismatch> {
        accept::<T>(format, type_)?;
        match value {
            Some(text) if format == FormatCode::Text => Self::read_text(text, type_),
            _ => read_binary(value, type_).map(Self),
        }
    }

    /// Reads a value in text format. Out of line, so that the code for binary format stays small.
    #[inline(never)]
    fn read_text(text: &[u8], type_: &Type) -> Result<Self, Mismatch> {
        if convert::is_same_in_both_formats(type_) {
            return read_binary(Some(text), type_).map(Self);
        }
        read_binary(Some(&convert::to_binary(type_, text)?), type_).map(Self)
    }
}

/// Reads values of types that are built into PostgreSQL. For all other types, use [`Sql::read`].
impl<T: FromSqlOwned> FromValue<'_> for Sql<T> {
    fn from_value(value: Option<&[u8]>, column: Column) -> Result<Self, Mismatch> {
        Self::read(value, column.format, &known_type(column)?)
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        let known = known_type(column)?;
        accept::<T>(column.format, &known)?;
        if column.format == FormatCode::Text { convert::check(&known) } else { Ok(()) }
    }
}

/// A value that borrows from the row, read by [`postgres_types::FromSql`]: `SqlRef<Vec<&str>>`, `SqlRef<Cow<str>>`.
///
/// In binary format, the same types are read as by [`Sql`]. In text format, a type is only read if its binary form is the text itself: the
/// text types, `json`, enums, and domains over these types. A value of any other type would be converted into new memory, and could not
/// borrow from the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlRef<T>(pub T);

impl<'a, T: FromSql<'a>> SqlRef<T> {
    /// Reads a value of a type that is not built into PostgreSQL; see [`Sql::read`].
    ///
    /// # Errors
    /// When `T` does not accept the type, when the value is malformed or outside the range of `T`, or when a value in text format would
    /// have to be converted.
    pub fn read(value: Option<&'a [u8]>, format: FormatCode, type_: &Type) -> Result<Self, Mismatch> {
        Self::accept(format, type_)?;
        read_binary(value, type_).map(Self)
    }

    fn accept(format: FormatCode, type_: &Type) -> Result<(), Mismatch> {
        accept::<T>(format, type_)?;
        if format == FormatCode::Text && !convert::is_same_in_both_formats(type_) {
            return Err(Mismatch::Type {
                wanted: "in binary format: use Sql with a type that does not borrow",
            });
        }
        Ok(())
    }
}

/// Reads values of types that are built into PostgreSQL. For all other types, use [`SqlRef::read`].
impl<'a, T: FromSql<'a>> FromValue<'a> for SqlRef<T> {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        Self::read(value, column.format, &known_type(column)?)
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        Self::accept(column.format, &known_type(column)?)
    }
}

/// Returns the type of a column. Returns an error if the type is not built into PostgreSQL.
fn known_type(column: Column) -> Result<Type, Mismatch> {
    Type::from_oid(column.type_oid)
        .ok_or(Mismatch::Type { wanted: "of a type built into PostgreSQL: use Sql::read" })
}

/// Checks that a `T` can read values of the type, and that the format is known.
fn accept<'a, T: FromSql<'a>>(format: FormatCode, type_: &Type) -> Result<(), Mismatch> {
    if let FormatCode::Other(_) = format {
        return Err(Mismatch::Type { wanted: "in text or binary format" });
    }
    if T::accepts(type_) { Ok(()) } else { Err(Mismatch::Type { wanted: core::any::type_name::<T>() }) }
}

/// Reads a value in binary form, of a type that `T` accepts.
fn read_binary<'a, T: FromSql<'a>>(value: Option<&'a [u8]>, type_: &Type) -> Result<T, Mismatch> {
    if let Some(bytes) = value {
        sound::check(type_, bytes, Target::of::<T>())?;
    }
    T::from_sql_nullable(type_, value)
        .map_err(|error| if value.is_none() { Mismatch::Null } else { Mismatch::Other(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::bindable::Bindable;
    use crate::value::SqlParam;
    use std::boxed::Box;
    use std::error::Error;
    use std::string::{String, ToString};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    use std::vec::Vec;

    #[test]
    fn a_timestamp_is_encoded_and_decoded() {
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let param = SqlParam::new(&time, &Type::TIMESTAMPTZ).expect("a timestamp");
        let column = Column { type_oid: Type::TIMESTAMPTZ.oid(), format: FormatCode::Binary };
        let Sql(back) = Sql::<SystemTime>::from_value(param.bound().as_bytes(), column).expect("a timestamp");
        assert_eq!(time, back);
    }

    #[test]
    fn another_type_is_rejected_in_both_directions() {
        assert!(SqlParam::new(&1i32, &Type::TIMESTAMPTZ).is_err());
        let column = Column { type_oid: Type::TEXT.oid(), format: FormatCode::Binary };
        assert!(matches!(Sql::<i32>::from_value(Some(b"1234"), column), Err(Mismatch::Type { .. })));
        let text = Column { type_oid: Type::TEXT.oid(), format: FormatCode::Text };
        assert!(matches!(Sql::<i32>::from_value(Some(b"1"), text), Err(Mismatch::Type { .. })));
        let other = Column { type_oid: Type::INT4.oid(), format: FormatCode::Other(2) };
        assert!(matches!(Sql::<i32>::from_value(Some(b"1"), other), Err(Mismatch::Type { .. })));
    }

    /// A type that accepts every PostgreSQL type and every value.
    #[derive(Debug)]
    struct Any;

    impl<'a> FromSql<'a> for Any {
        fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
            Ok(Self)
        }

        fn accepts(_: &Type) -> bool {
            true
        }
    }

    #[test]
    fn a_value_in_text_format_is_converted_and_checked() {
        let column = |type_: Type| Column { type_oid: type_.oid(), format: FormatCode::Text };
        let numbers = Sql::<Vec<Option<i32>>>::from_value(Some(b"{1,NULL}"), column(Type::INT4_ARRAY));
        assert_eq!(numbers.expect("an array").0, [Some(1), None]);
        let time = Sql::<SystemTime>::from_value(Some(b"1970-01-01 00:00:07+00"), column(Type::TIMESTAMPTZ));
        assert_eq!(time.expect("a time").0, UNIX_EPOCH + Duration::from_secs(7));
        assert!(matches!(
            Sql::<SystemTime>::from_value(Some(b"infinity"), column(Type::TIMESTAMPTZ)),
            Err(Mismatch::Range { .. })
        ));
        assert!(matches!(
            Sql::<Vec<i32>>::from_value(Some(b"{1"), column(Type::INT4_ARRAY)),
            Err(Mismatch::Malformed)
        ));
        assert_eq!(Sql::<Option<String>>::from_value(None, column(Type::TEXT)).expect("NULL"), Sql(None));
        assert!(matches!(Sql::<String>::from_value(None, column(Type::TEXT)), Err(Mismatch::Null)));
    }

    #[test]
    fn a_type_without_a_conversion_is_reported_before_the_first_row() {
        let column = |format| Column { type_oid: Type::MONEY_ARRAY.oid(), format };
        let error = Sql::<Any>::check(column(FormatCode::Text)).expect_err("money");
        assert_eq!(
            error.to_string(),
            "the text form of type money cannot be converted to the binary form: request binary format"
        );
        Sql::<Any>::check(column(FormatCode::Binary)).expect("the binary form needs no conversion");
    }

    #[test]
    fn a_type_that_borrows_is_read_from_text_if_the_text_is_the_binary_form() {
        let column = |type_: Type, format| Column { type_oid: type_.oid(), format };
        for format in [FormatCode::Text, FormatCode::Binary] {
            let name = column(Type::NAME, format);
            SqlRef::<&str>::check(name).expect("a text");
            assert_eq!(SqlRef::<&str>::from_value(Some(b"a"), name).expect("a text"), SqlRef("a"));
        }
        let array = b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x01\0\0\0\x01\0\0\0\x01a";
        let binary = column(Type::TEXT_ARRAY, FormatCode::Binary);
        assert_eq!(SqlRef::<Vec<&str>>::from_value(Some(array), binary).expect("an array").0, ["a"]);
        let text = column(Type::TEXT_ARRAY, FormatCode::Text);
        assert!(matches!(SqlRef::<Vec<&str>>::check(text), Err(Mismatch::Type { .. })));
        let error = SqlRef::<Vec<&str>>::from_value(Some(b"{a}"), text).expect_err("converted");
        assert_eq!(
            error.to_string(),
            "the value is not in binary format: use Sql with a type that does not borrow"
        );
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

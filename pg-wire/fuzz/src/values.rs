use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::SystemTime;

use pg_wire::value::{AsText, Column, FromValue, Sql, SqlParam, SqlRef};
use pg_wire::{Bindable, FormatCode, oid};
use postgres_types::{Date, Field, FromSql, Json, Kind, PgLsn, Timestamp, ToSql, Type};

use crate::input::Input;

/// A check that reads the bytes of a value as one Rust type.
type Check = fn(&[u8], Column);

/// The checks for the Rust types that pg-wire reads itself.
const OWN: &[Check] = &[
    both_ways::<bool>,
    both_ways::<i16>,
    both_ways::<i32>,
    both_ways::<i64>,
    both_ways::<u32>,
    both_ways::<f32>,
    both_ways::<f64>,
    both_ways::<String>,
    both_ways::<uuid::Uuid>,
    |bytes, column| read::<u64>(bytes, column),
    |bytes, column| read::<&str>(bytes, column),
    |bytes, column| read::<&[u8]>(bytes, column),
    |bytes, column| read::<Option<i32>>(bytes, column),
    |bytes, column| {
        read::<Vec<u8>>(bytes, column);
        if let Ok(value) = Vec::<u8>::from_value(Some(bytes), column) {
            again(&value, &value, Column { type_oid: oid::BYTEA, format: FormatCode::Binary });
            let text = AsText::from(&value[..]);
            again(&value, &text, Column { type_oid: oid::BYTEA, format: FormatCode::Text });
        }
    },
];

/// Oids of the column types for the checks in `OWN`. 0 is an unknown type, and 100,000 is not a built-in type.
const TYPES: &[u32] = &[
    0,
    oid::BOOL,
    oid::INT2,
    oid::INT4,
    oid::INT8,
    oid::OID,
    oid::FLOAT4,
    oid::FLOAT8,
    oid::TEXT,
    oid::BYTEA,
    oid::UUID,
    oid::NUMERIC,
    oid::REGCLASS,
    oid::XID8,
    oid::PG_LSN,
    oid::JSONB,
    oid::CHAR,
    oid::NAME,
    100_000,
];

/// Reads arbitrary bytes as a value of an arbitrary type. Encodes the value, reads the encoded value, and compares the two.
///
/// The first byte selects the Rust type. For a Rust type in `OWN`, the second byte selects the type and the format of the column. For any
/// other first byte, the upper two bits of the second byte select the check. If these bits are 0 or 1, `sql` reads a value in binary
/// format. If they are 2, `sql` reads a value in text format. If they are 3, `nested` reads a text; the whole second byte then selects the
/// type of the text.
pub fn values(data: &[u8]) {
    let mut input = Input::new(data);
    let (rust, column) = (usize::from(input.byte()), input.byte());
    let bytes = input.rest();
    if let Some(check) = OWN.get(rust) {
        let type_oid = TYPES[usize::from(column >> 1) % TYPES.len()];
        let format = if column & 1 == 0 { FormatCode::Binary } else { FormatCode::Text };
        check(bytes, Column { type_oid, format });
    } else {
        match column >> 6 {
            0 | 1 => sql(rust - OWN.len(), bytes, FormatCode::Binary),
            2 => sql(rust - OWN.len(), bytes, FormatCode::Text),
            _ => nested(column, bytes),
        }
    }
}

/// Reads a value with `from_value` and with `from_value_fast`, and compares the results.
fn read<'b, T: FromValue<'b> + Debug>(bytes: &'b [u8], column: Column) {
    let value = T::from_value(Some(bytes), column);
    if let Some(fast) = T::from_value_fast(Some(bytes), column) {
        assert_eq!(
            format!("{fast:?}"),
            format!("{:?}", value.as_ref().expect("the fast path has read the value"))
        );
    }
    match value {
        Ok(_) => T::check(column).expect("a type that can be read passes the check"),
        Err(error) => drop(format!("{error:?}")),
    }
}

/// Reads a value. Encodes the value twice: with `Bindable`, and as text with `AsText`. Checks that both encodings are read as the same
/// value.
fn both_ways<T>(bytes: &[u8], column: Column)
where
    T: for<'a> FromValue<'a> + Bindable + Clone + Debug,
    AsText: From<T>,
{
    read::<T>(bytes, column);
    let Ok(value) = T::from_value(Some(bytes), column) else { return };
    let bound = value.bound();
    let format = bound.format().expect("not NULL");
    let form = TYPES.iter().find(|type_oid| **type_oid > 0 && value.check_type(**type_oid).is_ok());
    let type_oid = *form.expect("the type has a binary form");
    again(&value, &value, Column { type_oid, format });
    again(&value, &AsText::from(value.clone()), Column { type_oid, format: FormatCode::Text });
}

/// Reads the encoded parameter `bound`, and checks that the result is `value`.
fn again<T: for<'a> FromValue<'a> + Debug>(value: &T, bound: &impl Bindable, column: Column) {
    let bound = bound.bound();
    assert_eq!(bound.format(), Some(column.format));
    let back = T::from_value(bound.as_bytes(), column).expect("a value that was bound can be read");
    assert_eq!(format!("{back:?}"), format!("{value:?}"));
}

/// Reads a value by `postgres-types`, encodes the value, and reads the encoded value.
fn sql(rust: usize, bytes: &[u8], format: FormatCode) {
    macro_rules! types {
        ($($wrapper:ident<$type:ty>: $of:expr),* $(,)?) => {
            [$(|bytes: &[u8], format| {
                let of: Type = $of;
                let Ok($wrapper(value)) = $wrapper::<$type>::read(Some(bytes), format, &of) else { return };
                check_sql(&value, &of, |bytes| {
                    let back = $wrapper::<$type>::read(Some(bytes), FormatCode::Binary, &of);
                    // The check passes if the values are equal, or if they are printed the same. 0.00 is sent as 0, which is equal but
                    // printed differently. NaN is not equal to NaN, but is printed the same.
                    let back = back.expect("a value that was encoded can be read");
                    back.0 == value || format!("{:?}", back.0) == format!("{value:?}")
                });
            }),*]
        };
    }
    let checks: &[fn(&[u8], FormatCode)] = &types! {
        Sql<bool>: Type::BOOL, Sql<i8>: Type::CHAR, Sql<i16>: Type::INT2, Sql<i32>: Type::INT4,
        Sql<i64>: Type::INT8, Sql<u32>: Type::OID, Sql<f32>: Type::FLOAT4, Sql<f64>: Type::FLOAT8,
        Sql<String>: Type::TEXT, Sql<Box<str>>: Type::VARCHAR, SqlRef<&str>: Type::NAME,
        Sql<String>: custom("ltree", 16_501, Kind::Simple), SqlRef<&[u8]>: Type::BYTEA,
        Sql<Vec<u8>>: Type::BYTEA, Sql<Vec<i32>>: Type::INT4_ARRAY, Sql<Vec<Option<i32>>>: Type::INT4_ARRAY,
        Sql<Vec<Option<String>>>: Type::TEXT_ARRAY, Sql<Vec<Vec<u8>>>: Type::BYTEA_ARRAY,
        Sql<Vec<SystemTime>>: Type::TIMESTAMPTZ_ARRAY, Sql<Box<[i64]>>: Type::INT8_ARRAY,
        Sql<[i32; 2]>: Type::INT4_ARRAY,
        Sql<HashMap<String, Option<String>>>: custom("hstore", 16_500, Kind::Simple),
        Sql<SystemTime>: Type::TIMESTAMP, Sql<SystemTime>: Type::TIMESTAMPTZ, Sql<IpAddr>: Type::INET,
        Sql<Timestamp<SystemTime>>: Type::TIMESTAMPTZ, Sql<PgLsn>: Type::PG_LSN,
        Sql<Json<serde_json::Value>>: Type::JSON, Sql<serde_json::Value>: Type::JSONB,
        Sql<Vec<serde_json::Value>>: Type::JSONB_ARRAY, Sql<uuid::Uuid>: Type::UUID,
        Sql<smol_str::SmolStr>: Type::TEXT, Sql<bit_vec::BitVec>: Type::VARBIT,
        Sql<bit_vec::BitVec>: Type::BIT, Sql<cidr::IpInet>: Type::INET, Sql<cidr::IpCidr>: Type::CIDR,
        Sql<geo_types::Point<f64>>: Type::POINT, Sql<geo_types::Rect<f64>>: Type::BOX,
        Sql<geo_types::LineString<f64>>: Type::PATH, Sql<rust_decimal::Decimal>: Type::NUMERIC,
        Sql<Vec<rust_decimal::Decimal>>: Type::NUMERIC_ARRAY, Sql<chrono::NaiveDate>: Type::DATE,
        Sql<Date<chrono::NaiveDate>>: Type::DATE, Sql<chrono::NaiveTime>: Type::TIME,
        Sql<chrono::NaiveDateTime>: Type::TIMESTAMP, Sql<chrono::DateTime<chrono::Utc>>: Type::TIMESTAMPTZ,
        Sql<time::Date>: Type::DATE, Sql<time::Time>: Type::TIME,
        Sql<time::PrimitiveDateTime>: Type::TIMESTAMP, Sql<time::OffsetDateTime>: Type::TIMESTAMPTZ,
        Sql<jiff::civil::Date>: Type::DATE, Sql<jiff::civil::Time>: Type::TIME,
        Sql<jiff::civil::DateTime>: Type::TIMESTAMP, Sql<jiff::Timestamp>: Type::TIMESTAMPTZ,
    };
    checks[rust % checks.len()](bytes, format);
}

/// Converts a text to the binary form of an array, a range, a composite type or a similar type. The conversion must not panic, and its
/// result must be a valid binary value.
fn nested(selector: u8, text: &[u8]) {
    let field = |type_| Field::new("a".into(), type_);
    let mood = custom("mood", 16_510, Kind::Enum(vec!["sad".into()]));
    let moods = custom("moods", 16_511, Kind::Domain(custom("_mood", 16_512, Kind::Array(mood))));
    let words = custom("words", 16_513, Kind::Range(Type::TEXT));
    let pair = custom("pair", 16_514, Kind::Composite(vec![field(Type::INT4), field(Type::TEXT)]));
    let pairs = custom("_pair", 16_515, Kind::Array(pair.clone()));
    let wide = Kind::Composite(vec![field(moods), field(words), field(pairs.clone())]);
    let types = [
        pair,
        pairs,
        custom("wide", 16_516, wide),
        Type::BOX_ARRAY,
        Type::NUMMULTI_RANGE,
        Type::TS_RANGE_ARRAY,
        Type::TIMETZ_ARRAY,
        Type::INTERVAL_ARRAY,
        Type::POLYGON_ARRAY,
        Type::INT2_VECTOR_ARRAY,
        Type::PG_SNAPSHOT_ARRAY,
        Type::TS_VECTOR_ARRAY,
        Type::MACADDR_ARRAY,
    ];
    let of = &types[usize::from(selector) % types.len()];
    if let Ok(Sql(Raw(binary, _))) = Sql::<WideRaw>::read(Some(text), FormatCode::Text, of) {
        let Sql(again) = Sql::<WideRaw>::read(Some(&binary), FormatCode::Binary, of).expect("a value");
        assert_eq!(again.0, binary);
    }
}

/// The binary form of a value.
struct Raw<T>(Vec<u8>, PhantomData<T>);

/// A type to which `Sql` passes infinity. `Sql` rejects infinity, except for types whose name contains the path of
/// `postgres_types::Timestamp` or `postgres_types::Date`.
type WideRaw = Raw<Timestamp<()>>;

impl<'a, T> FromSql<'a> for Raw<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.into(), PhantomData))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Defines a type that is not built into PostgreSQL.
fn custom(name: &str, oid: u32, kind: Kind) -> Type {
    Type::new(name.into(), oid, kind, "public".into())
}

/// Encodes a value. If `postgres-types` can encode the value, checks with `is_same` that the encoded bytes are read as the same value.
fn check_sql(value: &impl ToSql, of: &Type, is_same: impl Fn(&[u8]) -> bool) {
    let Ok(param) = SqlParam::new(value, of) else { return };
    let bound = param.bound();
    let bytes = bound.as_bytes().expect("not NULL");
    assert!(is_same(bytes), "{value:?} is read as another value");
}

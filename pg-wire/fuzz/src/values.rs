use std::collections::HashMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::SystemTime;

use pg_wire::value::{AsText, Column, FromValue, Sql, SqlParam};
use pg_wire::{Bindable, FormatCode, oid};
use postgres_types::{Date, Json, Kind, PgLsn, Timestamp, ToSql, Type};

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
/// The first byte selects the Rust type. The second byte selects the type and the format of the column.
pub fn values(data: &[u8]) {
    let mut input = Input::new(data);
    let (rust, column) = (usize::from(input.byte()), input.byte());
    let bytes = input.rest();
    if let Some(check) = OWN.get(rust) {
        let type_oid = TYPES[usize::from(column >> 1) % TYPES.len()];
        let format = if column & 1 == 0 { FormatCode::Binary } else { FormatCode::Text };
        check(bytes, Column { type_oid, format });
    } else {
        sql(rust - OWN.len(), bytes);
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

/// Reads a value, encodes the value in its own format and in text format, and checks that both encodings are read as the same value.
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
fn sql(rust: usize, bytes: &[u8]) {
    macro_rules! types {
        ($($type:ty: $of:expr),* $(,)?) => {
            [$(|bytes: &[u8]| {
                let of: Type = $of;
                let Ok(Sql(value)) = Sql::<$type>::read(Some(bytes), &of) else { return };
check_sql(&value, &of, |bytes| {
                    // Compares the values and also their printed forms, because each comparison fails in one case. Equal numbers can have
                    // different printed forms (0.00 is sent as 0). NaN is not equal to itself.
                    let back = Sql::<$type>::read(Some(bytes), &of).expect("a value that was encoded can be read");
                    back.0 == value || format!("{:?}", back.0) == format!("{value:?}")
                });
            }),*]
        };
    }
    let checks: &[fn(&[u8])] = &types! {
        bool: Type::BOOL, i8: Type::CHAR, i16: Type::INT2, i32: Type::INT4, i64: Type::INT8, u32: Type::OID,
        f32: Type::FLOAT4, f64: Type::FLOAT8, String: Type::TEXT, Box<str>: Type::VARCHAR, &str: Type::NAME,
        String: custom("ltree", 16_501, Kind::Simple), &[u8]: Type::BYTEA, Vec<u8>: Type::BYTEA,
        Vec<i32>: Type::INT4_ARRAY, Vec<Option<i32>>: Type::INT4_ARRAY, Vec<Option<String>>: Type::TEXT_ARRAY,
        Vec<Vec<u8>>: Type::BYTEA_ARRAY, Vec<SystemTime>: Type::TIMESTAMPTZ_ARRAY, Box<[i64]>: Type::INT8_ARRAY,
        [i32; 2]: Type::INT4_ARRAY,
        HashMap<String, Option<String>>: custom("hstore", 16_500, Kind::Simple),
        SystemTime: Type::TIMESTAMP, SystemTime: Type::TIMESTAMPTZ, IpAddr: Type::INET,
        Timestamp<SystemTime>: Type::TIMESTAMPTZ, PgLsn: Type::PG_LSN,
        Json<serde_json::Value>: Type::JSON, serde_json::Value: Type::JSONB, Vec<serde_json::Value>: Type::JSONB_ARRAY,
        uuid::Uuid: Type::UUID, smol_str::SmolStr: Type::TEXT, bit_vec::BitVec: Type::VARBIT, bit_vec::BitVec: Type::BIT,
        cidr::IpInet: Type::INET, cidr::IpCidr: Type::CIDR,
        geo_types::Point<f64>: Type::POINT, geo_types::Rect<f64>: Type::BOX, geo_types::LineString<f64>: Type::PATH,
        rust_decimal::Decimal: Type::NUMERIC, Vec<rust_decimal::Decimal>: Type::NUMERIC_ARRAY,
        chrono::NaiveDate: Type::DATE, Date<chrono::NaiveDate>: Type::DATE, chrono::NaiveTime: Type::TIME,
        chrono::NaiveDateTime: Type::TIMESTAMP, chrono::DateTime<chrono::Utc>: Type::TIMESTAMPTZ,
        time::Date: Type::DATE, time::Time: Type::TIME, time::PrimitiveDateTime: Type::TIMESTAMP,
        time::OffsetDateTime: Type::TIMESTAMPTZ,
        jiff::civil::Date: Type::DATE, jiff::civil::Time: Type::TIME, jiff::civil::DateTime: Type::TIMESTAMP,
        jiff::Timestamp: Type::TIMESTAMPTZ,
    };
    checks[rust % checks.len()](bytes);
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

//! Tests that read damaged values, which a hostile server may send. The values are read as types of `postgres-types` and of this crate.
//! Reading must not panic, and must not allocate more than a fixed multiple of the received bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use allocation_counter::measure;
use pg_wire::value::{Column, FromValue, Mismatch, Sql, SqlParam, SqlRef};
use pg_wire::{Bindable, FormatCode};
use postgres_types::{Date, Field, FromSql, Json, Kind, PgLsn, Timestamp, ToSql, Type};

/// Each type is tested with at least this number of damaged values.
const FEWEST: usize = 50;

/// Maximum memory in bytes that reading a value may hold at one time, for each received byte. A NULL element of an array has only 4 bytes
/// on the wire, but 24 bytes of memory as an `Option<String>`. And while a vector grows, the old and the new memory exist at the same time.
const TIMES: usize = 32;

/// Memory in bytes that reading a value may hold in addition to [`TIMES`] bytes per received byte. An error, and the minimum capacity of a
/// collection, need memory even if the input is short.
const EXTRA: usize = 1024;

/// Reads bytes as one Rust type. Returns whether the bytes are a valid value.
type Read = Box<dyn Fn(&[u8]) -> bool>;

/// A Rust type to test, and the bytes of valid values.
struct Row {
    name: &'static str,
    read: Read,
    samples: Vec<Vec<u8>>,
}

/// Creates a row for a type that owns its value.
fn owned<T: for<'a> FromSql<'a> + 'static>(type_: Type, samples: Vec<Vec<u8>>) -> Row {
    let read = move |bytes: &[u8]| Sql::<T>::read(Some(bytes), FormatCode::Binary, &type_).is_ok();
    Row { name: std::any::type_name::<T>(), read: Box::new(read), samples }
}

/// Returns the binary form of a value.
fn sample(value: &dyn ToSql, type_: &Type) -> Vec<u8> {
    let param = SqlParam::new(value, type_).expect("a value of this type");
    param.bound().as_bytes().expect("not NULL").to_vec()
}

/// Creates a row for a type that can also encode its values.
fn both_ways<T: for<'a> FromSql<'a> + ToSql + 'static>(type_: Type, values: &[T]) -> Row {
    let samples = values.iter().map(|value| sample(value, &type_)).collect();
    owned::<T>(type_, samples)
}

/// Creates a row for a type that borrows from the bytes.
macro_rules! lent {
    ($type:ty, $of:expr, $samples:expr) => {
        Row {
            name: stringify!($type),
            read: Box::new(|bytes: &[u8]| {
                SqlRef::<$type>::read(Some(bytes), FormatCode::Binary, &$of).is_ok()
            }),
            samples: $samples,
        }
    };
}

/// Defines a type that is not built into PostgreSQL.
fn custom(name: &str, oid: u32, kind: Kind) -> Type {
    Type::new(name.into(), oid, kind, "public".into())
}

fn rows() -> Vec<Row> {
    let text = || vec![b"caf\xc3\xa9".to_vec(), Vec::new(), vec![b'x'; 300]];
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let hstore = custom("hstore", 16_500, Kind::Simple);
    let map = |pairs: &[(&str, Option<&str>)]| -> HashMap<String, Option<String>> {
        pairs.iter().map(|(key, value)| ((*key).into(), value.map(String::from))).collect()
    };
    let mut rows = vec![
        // Types of the standard library.
        both_ways(Type::BOOL, &[true, false]),
        both_ways(Type::CHAR, &[7i8]),
        both_ways(Type::INT2, &[7i16]),
        both_ways(Type::INT4, &[7i32]),
        both_ways(Type::INT8, &[7i64]),
        both_ways(Type::OID, &[7u32]),
        both_ways(Type::FLOAT4, &[0.5f32]),
        both_ways(Type::FLOAT8, &[0.5f64]),
        owned::<String>(Type::TEXT, text()),
        owned::<Box<str>>(Type::VARCHAR, text()),
        owned::<String>(custom("ltree", 16_501, Kind::Simple), vec![b"\x01a.b".to_vec()]),
        owned::<String>(custom("citext", 16_502, Kind::Simple), text()),
        lent!(&str, Type::NAME, text()),
        lent!(Cow<'_, str>, Type::BPCHAR, text()),
        lent!(&[u8], Type::BYTEA, text()),
        owned::<Vec<u8>>(Type::BYTEA, text()),
        both_ways(Type::INT4_ARRAY, &[vec![1, 2, 3], vec![]]),
        both_ways(Type::INT4_ARRAY, &[vec![Some(1), None, Some(3)]]),
        both_ways(Type::TEXT_ARRAY, &[vec!["a".to_owned(), String::new()]]),
        both_ways(Type::TEXT_ARRAY, &[vec![None; 40], vec![Some("a".to_owned()), None]]),
        both_ways(Type::BYTEA_ARRAY, &[vec![vec![0u8; 9], vec![]]]),
        both_ways(Type::TIMESTAMPTZ_ARRAY, &[vec![time, time]]),
        both_ways(Type::JSONB_ARRAY, &[vec![Json(serde_json::json!([1, {"a": null}]))]]),
        owned::<Box<[i64]>>(Type::INT8_ARRAY, vec![sample(&vec![1i64, 2], &Type::INT8_ARRAY)]),
        owned::<[i32; 2]>(Type::INT4_ARRAY, vec![sample(&vec![1i32, 2], &Type::INT4_ARRAY)]),
        owned::<Option<i32>>(Type::INT4, vec![sample(&1i32, &Type::INT4)]),
        owned::<Box<i32>>(Type::INT4, vec![sample(&1i32, &Type::INT4)]),
        both_ways(hstore.clone(), &[map(&[]), map(&[("a", Some("b")), ("c", None)])]),
        both_ways(
            custom("_hstore", 16_503, Kind::Array(hstore)),
            &[vec![map(&[("a", Some("b"))]), map(&[])]],
        ),
        both_ways(Type::TIMESTAMP, &[time]),
        both_ways(Type::TIMESTAMPTZ, &[UNIX_EPOCH]),
        both_ways(Type::INET, &["127.0.0.1".parse::<IpAddr>().expect("v4"), "::1".parse().expect("v6")]),
        // Types of the crate postgres-types.
        both_ways(Type::TIMESTAMPTZ, &[Timestamp::PosInfinity, Timestamp::Value(time)]),
        both_ways(Type::TIMESTAMPTZ_ARRAY, &[vec![Timestamp::NegInfinity, Timestamp::Value(time)]]),
        both_ways(Type::PG_LSN, &[PgLsn::from(7)]),
        both_ways(Type::JSON, &[Json(serde_json::json!({"a": [1, 2.5, "x", null, true]}))]),
        // Types of the crates serde_json, uuid, smol_str, bit-vec, cidr, eui48 and geo-types.
        both_ways(Type::JSONB, &[serde_json::json!({"a": [1, 2.5, "x", null, true], "b": {}})]),
        both_ways(Type::UUID, &[uuid::Uuid::from_u128(7)]),
        both_ways(Type::TEXT, &[smol_str::SmolStr::from("x")]),
        both_ways(Type::VARBIT, &[bit_vec::BitVec::from_elem(9, true), bit_vec::BitVec::new()]),
        both_ways(Type::BIT, &[bit_vec::BitVec::from_elem(800, true)]),
        both_ways(Type::INET, &["10.0.0.1/8".parse::<cidr::IpInet>().expect("v4")]),
        both_ways(Type::CIDR, &["2001:db8::/32".parse::<cidr::IpCidr>().expect("v6")]),
        both_ways(Type::MACADDR, &[eui48::MacAddress::new([1, 2, 3, 4, 5, 6])]),
        both_ways(Type::POINT, &[geo_types::Point::new(1.0, 2.0)]),
        both_ways(Type::BOX, &[geo_types::Rect::new((0.0, 0.0), (1.0, 2.0))]),
        both_ways(Type::PATH, &[geo_types::LineString::from(vec![(0.0, 0.0), (1.0, 2.0)])]),
        // The type of the crate rust_decimal.
        both_ways(
            Type::NUMERIC,
            &["0", "-1.50", "79228162514264337593543950335", "0.0000000000000000000000000001"]
                .map(|number| number.parse::<rust_decimal::Decimal>().expect("it fits")),
        ),
        both_ways(Type::NUMERIC_ARRAY, &[vec![rust_decimal::Decimal::new(199, 2); 3]]),
    ];
    rows.extend(dates());
    rows
}

/// Creates rows for types of dates and times, from the crates chrono, time and jiff.
fn dates() -> Vec<Row> {
    let date = chrono::NaiveDate::from_ymd_opt(2024, 2, 29).expect("a leap year");
    let noon = date.and_hms_opt(12, 0, 0).expect("a time");
    let of_time = time::Date::from_calendar_date(2024, time::Month::February, 29).expect("a leap year");
    let of_jiff = jiff::civil::date(2024, 2, 29);
    vec![
        both_ways(Type::DATE, &[date]),
        both_ways(Type::DATE, &[Date::PosInfinity, Date::Value(date)]),
        both_ways(Type::TIMESTAMP, &[noon]),
        both_ways(Type::TIMESTAMPTZ, &[noon.and_utc()]),
        both_ways(Type::TIMESTAMPTZ, &[noon.and_utc().fixed_offset()]),
        both_ways(Type::TIMESTAMPTZ, &[noon.and_utc().with_timezone(&chrono::Local)]),
        both_ways(Type::TIME, &[noon.time()]),
        both_ways(Type::DATE, &[of_time]),
        both_ways(Type::TIME, &[time::Time::MIDNIGHT]),
        both_ways(Type::TIMESTAMP, &[of_time.midnight()]),
        both_ways(Type::TIMESTAMPTZ, &[of_time.midnight().assume_utc()]),
        both_ways(Type::DATE, &[of_jiff]),
        both_ways(Type::TIME, &[jiff::civil::time(12, 0, 0, 0)]),
        both_ways(Type::TIMESTAMP, &[of_jiff.at(12, 0, 0, 0)]),
        both_ways(Type::TIMESTAMPTZ, &[jiff::Timestamp::UNIX_EPOCH]),
    ]
}

/// Creates rows for the types that pg-wire reads without `postgres-types`. Each value is read in both formats and for every built-in type.
fn ours() -> Vec<Row> {
    fn row<T: for<'a> FromValue<'a> + 'static>(text: &[u8], binary: &[u8]) -> Row {
        let types: Vec<u32> =
            (0..7000).filter(|oid| *oid == 0 || pg_wire::oid::name(*oid).is_some()).collect();
        let read = move |bytes: &[u8]| {
            let formats = [FormatCode::Text, FormatCode::Binary];
            let columns = types
                .iter()
                .flat_map(|type_oid| formats.map(|format| Column { type_oid: *type_oid, format }));
            columns.filter(|column| T::from_value(Some(bytes), *column).is_ok()).count() > 0
        };
        let samples = vec![text.to_vec(), binary.to_vec()];
        Row { name: std::any::type_name::<T>(), read: Box::new(read), samples }
    }
    vec![
        row::<bool>(b"t", b"\x01"),
        row::<i16>(b"-7", b"\0\x07"),
        row::<i32>(b"2147483647", b"\0\0\0\x07"),
        row::<i64>(b"16/B374D848", b"\0\0\0\0\0\0\0\x07"),
        row::<u32>(b"7", b"\0\0\0\x07"),
        row::<u64>(b"7", b"\0\0\0\0\0\0\0\x07"),
        row::<f32>(b"-1.5e-7", b"\0\0\0\x07"),
        row::<f64>(b"Infinity", b"\0\0\0\0\0\0\0\x07"),
        row::<String>(b"x", b"\x01{}"),
        row::<Vec<u8>>(b"\\xdeadbeef", b"\\000\\\\x"),
        row::<uuid::Uuid>(b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", &[7; 16]),
        row::<Option<i32>>(b"7", b"\0\0\0\x07"),
    ]
}

/// A Rust type that accepts every value of every PostgreSQL type. In this file, `T` is always `postgres_types::Timestamp`. So the name of
/// this Rust type contains the path of `Timestamp`. Because of this path, `Sql` accepts infinity too.
struct Any<T>(std::marker::PhantomData<T>);

impl<'a, T> FromSql<'a> for Any<T> {
    fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(std::marker::PhantomData))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Creates rows for values in text format. `Sql` converts such a value to binary format, and then reads the binary value.
fn texts() -> Vec<Row> {
    fn row(type_: Type, texts: &[&str]) -> Row {
        let samples = texts.iter().map(|text| Vec::from(*text)).collect();
        let name = type_.to_string().leak();
        let read = move |bytes: &[u8]| {
            Sql::<Any<Timestamp<()>>>::read(Some(bytes), FormatCode::Text, &type_).is_ok()
        };
        Row { name, read: Box::new(read), samples }
    }
    let field = |name: &str, type_| Field::new(name.into(), type_);
    let empty = custom("wide", 16_505, Kind::Composite(vec![field("a", Type::INT4); 40]));
    let fields = vec![field("a", Type::NUMERIC_ARRAY), field("b", Type::TEXT), field("c", empty.clone())];
    let nested = custom("nested", 16_506, Kind::Composite(fields));
    let deep = custom("_nested", 16_507, Kind::Array(nested.clone()));
    let row_of_nulls = format!("({})", ",".repeat(39));
    vec![
        row(Type::NUMERIC, &["-123456789.0012", "NaN", &"9".repeat(300)]),
        row(Type::INTERVAL, &["-1 years -2 mons +3 days -04:05:06.789", "infinity"]),
        row(Type::TIMESTAMPTZ, &["2024-02-29 23:59:59.5+05:30", "4714-11-24 00:00:00+00 BC"]),
        row(Type::BYTEA, &["\\x00ff5c27", "\\000\\\\a"]),
        row(Type::VARBIT, &["1010101010"]),
        row(Type::INET, &["2001:db8::1.2.3.4/64"]),
        row(Type::PATH, &["[(0,0),(1,1),(2,0)]"]),
        row(Type::BOX_ARRAY, &["{(1,1),(0,0);(2,2),(0,0)}"]),
        row(
            Type::INT8_ARRAY,
            &["[-1:0][5:6]={{1,2},{3,NULL}}", "{{{{{{1}}}}}}", &format!("{{{}1}}", "1,".repeat(300))],
        ),
        row(Type::FLOAT8_ARRAY, &[&format!("{{{}1}}", "1,".repeat(300))]),
        row(Type::NUMERIC_ARRAY, &[&format!("{{{}1}}", "1,".repeat(300))]),
        row(Type::TEXT_ARRAY, &[r#"{a,NULL,"","NULL","b \"c\\"}"#]),
        row(Type::TS_VECTOR, &["'a':1A 'b''':2,3B 'c d'", &format!("{}'a'", "'' ".repeat(99))]),
        row(Type::INT2_VECTOR, &["1 2 3", &format!("{}1", "1 ".repeat(300))]),
        row(Type::INT8_RANGE_ARRAY, &[r#"{"[1,5)",empty,"(,)"}"#]),
        row(Type::NUMMULTI_RANGE, &["{(,1.5),[2.5,NaN]}", &format!("{{{}(,)}}", "(,),".repeat(200))]),
        row(empty, &[&row_of_nulls]),
        row(nested, &[&format!(r#"("{{1,NULL}}","a ""b""","{row_of_nulls}")"#)]),
        row(deep, &[&format!(r#"{{"(\"{{1,NULL}}\",\"a \\\\\",\"{row_of_nulls}\")",NULL}}"#)]),
        row(custom("hstore", 16_508, Kind::Simple), &[r#""a"=>"b \"\\", "c"=>NULL"#]),
    ]
}

/// Generator of pseudo-random numbers. The numbers are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // The algorithm is xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Returns damaged forms of a value.
fn damaged(sample: &[u8], numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..sample.len()).map(|end| sample[..end].to_vec()).collect();
    all.push([sample, b"\0"].concat());
    let words = [0, 1, -1, -2, 7, i32::MAX, i32::MIN, 0x4000_0000, 1 << 16].map(i32::to_be_bytes);
    for at in 0..sample.len().min(64) {
        let replaced = |with: &[u8]| {
            let mut bytes = sample.to_vec();
            let end = bytes.len().min(at + with.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
            bytes
        };
        all.extend([0, 1, 0x7f, 0x80, 0xff].map(|byte| replaced(&[byte])));
        all.extend(words.iter().map(|word| replaced(word)));
        all.push(replaced(&numbers.next().to_be_bytes()));
    }
    for length in 0..FEWEST {
        all.push((0..length).map(|_| numbers.next().to_be_bytes()[0] & 0x1f).collect());
    }
    // Removes values that are equal to the sample, because they are not damaged.
    all.retain(|bytes| bytes != sample);
    all
}

#[track_caller]
fn check_damaged_values(rows: Vec<Row>) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for Row { name, read, samples } in rows {
        let mut count = 0;
        for sample in &samples {
            assert!(read(sample), "{name}: {sample:?} is a value");
            for bytes in damaged(sample, &mut numbers) {
                count += 1;
                let held = measure(|| {
                    // A damaged value may still be valid, so the result is ignored.
                    let _ = read(&bytes);
                });
                let most = bytes.len() * TIMES + EXTRA;
                assert!(held.bytes_max <= most as u64, "{name} holds {} bytes for {bytes:?}", held.bytes_max);
            }
        }
        assert!(count >= FEWEST, "{name}: {count} damaged values");
        println!("{count:>6} damaged values of {name}");
    }
}

#[test]
fn types_of_other_crates_are_safe_with_a_hostile_server() {
    let rows = rows();
    assert!(rows.len() > 60, "{} types", rows.len());
    check_damaged_values(rows);
}

#[test]
fn values_in_text_format_are_safe_with_a_hostile_server() {
    check_damaged_values(texts());
}

#[test]
fn types_of_this_crate_are_safe_with_a_hostile_server() {
    check_damaged_values(ours());
}

#[test]
fn an_array_with_a_count_of_two_billion_is_an_error_without_an_allocation() {
    for (type_, element) in [(Type::INT4_ARRAY, 23), (Type::TEXT_ARRAY, 25)] {
        let bytes: Vec<u8> = [1, 0, element, i32::MAX, 1].into_iter().flat_map(i32::to_be_bytes).collect();
        let held = measure(|| {
            let error = if element == 23 {
                Sql::<Vec<i32>>::read(Some(&bytes), FormatCode::Binary, &type_).map(drop)
            } else {
                Sql::<Vec<String>>::read(Some(&bytes), FormatCode::Binary, &type_).map(drop)
            };
            assert!(matches!(error, Err(Mismatch::Malformed)));
        });
        assert_eq!(held.count_total, 0, "{type_}");
    }
}

#[test]
fn numbers_outside_the_range_of_a_decimal_are_errors() {
    let numeric = |words: &[i16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let read = |words: &[i16]| {
        Sql::<rust_decimal::Decimal>::read(Some(&numeric(words)), FormatCode::Binary, &Type::NUMERIC)
    };
    // A `numeric` with a weight but without digits is malformed.
    assert!(matches!(read(&[0, 7, 0, 0]), Err(Mismatch::Malformed)));
    // 1e32 is a valid `numeric`, but exceeds the range of `Decimal`.
    assert!(matches!(
        read(&[1, 8, 0, 0, 1]),
        Err(Mismatch::Range { wanted: "rust_decimal::decimal::Decimal" })
    ));
    assert!(matches!(read(&[1, i16::MAX, 0, 0, 1]), Err(Mismatch::Range { .. })));
    // 8e28 has as many digits as the largest `Decimal` (7.9e28), but is larger.
    assert!(matches!(read(&[1, 7, 0, 0, 8]), Err(Mismatch::Other(_))));
    assert_eq!(read(&[1, 7, 0, 0, 7]).expect("7e28").0.to_string(), "70000000000000000000000000000");
    assert_eq!(read(&[1, i16::MIN, 0, 0, 1]).expect("a number close to zero").0.to_string(), "0");
}

/// Checks that reading the value as `T` is a `Range` error.
#[track_caller]
fn does_not_fit<T: for<'a> FromSql<'a> + std::fmt::Debug>(type_: &Type, bytes: &[u8]) {
    let error = Sql::<T>::read(Some(bytes), FormatCode::Binary, type_)
        .expect_err("the value is outside the range of the type");
    let Mismatch::Range { wanted } = error else { panic!("{error}") };
    assert_eq!(wanted, std::any::type_name::<T>());
}

#[test]
fn infinity_is_an_error_for_types_that_cannot_represent_it() {
    for bytes in [i64::MAX, i64::MIN].map(i64::to_be_bytes) {
        for type_ in [Type::TIMESTAMP, Type::TIMESTAMPTZ] {
            does_not_fit::<SystemTime>(&type_, &bytes);
            does_not_fit::<Option<SystemTime>>(&type_, &bytes);
        }
        does_not_fit::<time::OffsetDateTime>(&Type::TIMESTAMPTZ, &bytes);
        does_not_fit::<chrono::NaiveDateTime>(&Type::TIMESTAMP, &bytes);
        does_not_fit::<jiff::Timestamp>(&Type::TIMESTAMPTZ, &bytes);
    }
    does_not_fit::<chrono::NaiveDate>(&Type::DATE, &i32::MAX.to_be_bytes());
    let array: Vec<u8> = [1, 0, 1184, 1, 1, 8, i32::MAX, -1].into_iter().flat_map(i32::to_be_bytes).collect();
    does_not_fit::<Vec<SystemTime>>(&Type::TIMESTAMPTZ_ARRAY, &array);

    type Wide = Timestamp<SystemTime>;
    let read = |bytes: i64| {
        Sql::<Wide>::read(Some(&bytes.to_be_bytes()), FormatCode::Binary, &Type::TIMESTAMPTZ).expect("wide").0
    };
    assert_eq!((read(i64::MAX), read(i64::MIN)), (Wide::PosInfinity, Wide::NegInfinity));
    let read =
        Sql::<Vec<Wide>>::read(Some(&array), FormatCode::Binary, &Type::TIMESTAMPTZ_ARRAY).expect("wide").0;
    assert_eq!(read, [Wide::PosInfinity]);
}

#[test]
fn the_time_24_00_00_is_an_error_and_not_midnight() {
    let end = 86_400_000_000i64.to_be_bytes();
    does_not_fit::<chrono::NaiveTime>(&Type::TIME, &end);
    does_not_fit::<time::Time>(&Type::TIME, &end);
    does_not_fit::<jiff::civil::Time>(&Type::TIME, &end);
    let last = Sql::<chrono::NaiveTime>::read(
        Some(&86_399_999_999i64.to_be_bytes()),
        FormatCode::Binary,
        &Type::TIME,
    );
    assert_eq!(last.expect("a time").0.to_string(), "23:59:59.999999");
}

#[test]
fn types_that_are_not_built_into_postgresql_are_read_by_their_definition() {
    #[derive(Debug, PartialEq)]
    struct Pair(i32, String);
    impl<'a> FromSql<'a> for Pair {
        fn from_sql(type_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
            let Kind::Composite(fields) = type_.kind() else { return Err("not a composite".into()) };
            // A composite value consists of an Int32 count and, for each field, Int32 type, Int32 length and bytes.
            let number = i32::from_sql(fields[0].type_(), &raw[12..16])?;
            Ok(Self(number, String::from_sql(fields[1].type_(), &raw[24..])?))
        }
        fn accepts(type_: &Type) -> bool {
            matches!(type_.kind(), Kind::Composite(_))
        }
    }
    let fields = vec![Field::new("a".into(), Type::INT4), Field::new("b".into(), Type::TEXT)];
    let pair = custom("pair", 16_600, Kind::Composite(fields));
    let value = b"\0\0\0\x02\0\0\0\x17\0\0\0\x04\0\0\0\x07\0\0\0\x19\0\0\0\x02ab";
    assert_eq!(
        Sql::<Pair>::read(Some(value), FormatCode::Binary, &pair).expect("a pair").0,
        Pair(7, "ab".into())
    );
}

//! Tests with generated texts: changed texts, and strings in the form in which a server writes them.

use std::boxed::Box;
use std::error::Error;
use std::format;
use std::string::String;

use postgres_types::FromSql;
use proptest::prelude::*;

use super::*;
use crate::FormatCode;
use crate::value::Sql;
use crate::value::sound::{self, Target};

/// A value of each type, in text form.
fn samples() -> Vec<(Type, &'static str)> {
    vec![
        (Type::BOOL, "t"),
        (Type::CHAR, "\\377"),
        (Type::INT4, "-2147483648"),
        (Type::FLOAT8, "1.7976931348623157e+308"),
        (Type::NUMERIC, "-123456789.0012"),
        (Type::BYTEA, "\\x00ff"),
        (Type::UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (Type::PG_LSN, "16/B374D848"),
        (Type::TID, "(1,2)"),
        (Type::PG_SNAPSHOT, "10:20:10,14,15"),
        (Type::VARBIT, "1010101010"),
        (Type::DATE, "4714-11-24 BC"),
        (Type::TIME, "10:20:30.000001"),
        (Type::TIMETZ, "10:20:30.5-15:59:59"),
        (Type::TIMESTAMP, "2024-02-29 23:59:59.999999"),
        (Type::TIMESTAMPTZ, "2024-02-29 23:59:59.5+05:30"),
        (Type::INTERVAL, "-1 years -2 mons +3 days -04:05:06.789"),
        (Type::INET, "2001:db8::1.2.3.4/64"),
        (Type::CIDR, "10.1.0.0/16"),
        (Type::MACADDR, "08:00:2b:01:02:03"),
        (Type::LSEG, "[(0,0),(1,1.5)]"),
        (Type::LINE, "{1,-1,NaN}"),
        (Type::PATH, "[(0,0),(1,1),(2,0)]"),
        (Type::POLYGON, "((0,0),(1,1),(2,0))"),
        (Type::CIRCLE, "<(1,2),3>"),
        (Type::BOX_ARRAY, "{(1,1),(0,0);(2,2),(0,0)}"),
        (Type::INT4_ARRAY, "[-1:0][5:6]={{1,2},{3,NULL}}"),
        (Type::TEXT_ARRAY, r#"{a,NULL,"","NULL","b \"c\\"}"#),
        (Type::INT2_VECTOR, "1 -2 3"),
        (Type::INT4_RANGE, "[1,5)"),
        (Type::TS_RANGE, r#"["2024-02-29 00:00:00",)"#),
        (Type::NUMMULTI_RANGE, "{(,1.5),[2.5,NaN]}"),
        (moods(), r#"{sad,"very happy"}"#),
        (words(), r#"["a ""b\\",)"#),
        (pair(), r#"(1,"a ""b""")"#),
        (array_of(&pair()), r#"{"(1,\"a \"\"b\")",NULL}"#),
        (array_of(&moods()), r#"{"{sad,\"very happy\"}"}"#),
        (Type::TS_VECTOR, "'a':1A 'b':2,3B 'c d'"),
        (hstore_type(), r#""a"=>"b \"\\", "c"=>NULL"#),
    ]
}

/// Bytes that have a meaning in a text form.
const SYNTAX: &[u8] = b"{}()[]<>,;:\"\\ =-+./0179NU\0\x80";

/// Changes of a text. Each change has a place in the text, a number of bytes to remove there, and the bytes to insert there.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let inserted = prop::collection::vec(prop::sample::select(SYNTAX), 0..3);
    prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, inserted), 1..4)
}

proptest! {
    #[test]
    fn a_changed_text_is_an_error_or_has_a_sound_binary_form(
        (type_, text) in prop::sample::select(samples()), changes in changes(),
    ) {
        let mut text = Vec::from(text);
        for (place, removed, inserted) in changes {
            let place = place.index(text.len() + 1);
            let end = text.len().min(place + removed);
            text.splice(place..end, inserted);
        }
        if let Ok(binary) = to_binary(&type_, &text) {
            let outcome = sound::check(&type_, &binary, Target::of::<Wide>());
            // `Range` is not a failure: 24:00:00 is a valid `time`, although no Rust type can represent it.
            prop_assert!(matches!(outcome, Ok(()) | Err(Mismatch::Range { .. })), "{outcome:?} {binary:?}");
        }
    }

    #[test]
    fn strings_in_arrays_of_composites_are_read_as_the_server_writes_them(
        strings in prop::collection::vec(prop::option::of("[a-z{}()\\[\\],;\"\\\\ NUL\\t]{0,6}|NULL"), 0..5),
    ) {
        let composites = strings.iter().map(|string| format!("(7,{})", string.as_deref().map_or(String::new(), doubled)));
        let text = format!("{{{}}}", composites.map(|composite| escaped(&composite)).collect::<Vec<_>>().join(","));
        let Sql(read) = Sql::<Vec<Pair>>::read(Some(text.as_bytes()), FormatCode::Text, &array_of(&pair())).expect("an array");
        prop_assert_eq!(read, strings.iter().cloned().map(Pair).collect::<Vec<_>>());
        let elements = strings.iter().map(|string| string.as_deref().map_or("NULL".into(), escaped));
        let text = format!("{{{}}}", elements.collect::<Vec<_>>().join(","));
        let Sql(read) =
            Sql::<Vec<Option<String>>>::read(Some(text.as_bytes()), FormatCode::Text, &Type::TEXT_ARRAY).expect("an array");
        prop_assert_eq!(read, strings);
    }
}

/// A type that can represent infinity.
type Wide = postgres_types::Timestamp<()>;

/// A value of the composite type [`pair`]. Only the second field, a text, is stored.
#[derive(Debug, PartialEq)]
struct Pair(Option<String>);

impl<'a> FromSql<'a> for Pair {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        // 24 bytes precede the second field: Int32 count, Int32 type, Int32 length, Int32 value, Int32 type, Int32 length.
        Ok(Self(
            raw.get(24..)
                .filter(|_| raw[20..24] != NULL)
                .map(|word| String::from_utf8(word.into()))
                .transpose()?,
        ))
    }

    fn accepts(type_: &Type) -> bool {
        *type_ == pair()
    }
}

/// Writes a field of a composite in quotes, as a server does.
fn doubled(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\"\""))
}

/// Writes an element of an array in quotes, as a server does.
fn escaped(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

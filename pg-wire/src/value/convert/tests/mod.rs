//! Tests of the conversion: expected bytes, and texts that are not values.

mod properties;

use std::format;
use std::string::ToString;

use super::*;

/// Defines a type that is not built into PostgreSQL.
fn custom(name: &str, oid: u32, kind: Kind) -> Type {
    Type::new(name.into(), oid, kind, "public".into())
}

fn array_of(member: &Type) -> Type {
    custom("_array", 16_500, Kind::Array(member.clone()))
}

fn pair() -> Type {
    let fields = vec![Field::new("number".into(), Type::INT4), Field::new("word".into(), Type::TEXT)];
    custom("pair", 16_400, Kind::Composite(fields))
}

fn mood() -> Type {
    custom("mood", 16_401, Kind::Enum(vec!["sad".into(), "very happy".into()]))
}

fn moods() -> Type {
    custom("moods", 16_402, Kind::Domain(array_of(&mood())))
}

fn words() -> Type {
    custom("words", 16_403, Kind::Range(Type::TEXT))
}

fn hstore_type() -> Type {
    custom("hstore", 16_404, Kind::Simple)
}

/// Checks that a text has this binary form, which is given in pieces.
#[track_caller]
fn converts(type_: &Type, text: &str, binary: &[&[u8]]) {
    check(type_).expect("the type can be converted");
    let converted = to_binary(type_, text.as_bytes()).expect("a value");
    assert_eq!(converted, binary.concat(), "{type_} {text}");
}

/// Checks that a text has this binary form, which is given in pieces. Checks that every prefix of the text and two longer texts are errors.
#[track_caller]
fn whole(type_: &Type, text: &str, binary: &[&[u8]]) {
    converts(type_, text, binary);
    for end in 0..text.len() {
        fails(type_, &text[..end]);
    }
    fails(type_, &format!("{text} "));
    fails(type_, &format!("{text}0"));
}

#[track_caller]
fn fails(type_: &Type, text: &str) {
    let outcome = to_binary(type_, text.as_bytes());
    assert!(
        matches!(outcome, Err(Mismatch::Malformed | Mismatch::Text { .. })),
        "{type_} {text:?} {outcome:?}"
    );
}

/// Joins Int16 numbers to the bytes of a binary form.
fn words_of<const N: usize>(words: [i16; N]) -> Vec<u8> {
    words.map(i16::to_be_bytes).concat()
}

#[test]
fn numbers_are_converted() {
    whole(&Type::BOOL, "t", &[b"\x01"]);
    whole(&Type::BOOL, "f", &[b"\0"]);
    converts(&Type::INT2, "-32768", &[b"\x80\0"]);
    converts(&Type::INT4, "7", &[b"\0\0\0\x07"]);
    converts(&Type::INT8, "-1", &[b"\xff\xff\xff\xff\xff\xff\xff\xff"]);
    converts(&Type::OID, "4294967295", &[b"\xff\xff\xff\xff"]);
    converts(&Type::REGCLASS, "1259", &[b"\0\0\x04\xeb"]);
    converts(&Type::REGCLASS, "-", &[b"\0\0\0\0"]);
    converts(&Type::XID8, "18446744073709551615", &[b"\xff\xff\xff\xff\xff\xff\xff\xff"]);
    converts(&Type::PG_LSN, "16/B374D848", &[b"\0\0\0\x16\xb3\x74\xd8\x48"]);
    converts(&Type::FLOAT4, "1.5", &[b"\x3f\xc0\0\0"]);
    converts(&Type::FLOAT8, "-0", &[b"\x80\0\0\0\0\0\0\0"]);
    converts(&Type::FLOAT8, "NaN", &[b"\x7f\xf8\0\0\0\0\0\0"]);
    converts(&Type::FLOAT8, "-Infinity", &[b"\xff\xf0\0\0\0\0\0\0"]);
    fails(&Type::INT2, "32768");
    fails(&Type::INT4, "");
    fails(&Type::INT4, " 1");
    fails(&Type::BOOL, "true");
    fails(&Type::REGCLASS, "pg_class");
    fails(&Type::REGCLASS, "-1");
}

#[test]
fn numerics_have_digits_of_base_10000_without_zeros_at_both_ends() {
    let numeric = |text, words: &[i16]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        converts(&Type::NUMERIC, text, &[&bytes]);
    };
    numeric("0", &[0, 0, 0, 0]);
    numeric("0.000", &[0, 0, 0, 3]);
    numeric("1", &[1, 0, 0, 0, 1]);
    numeric("10000", &[1, 1, 0, 0, 1]);
    numeric("12345.6", &[3, 1, 0, 1, 1, 2345, 6000]);
    numeric("-0.0001", &[1, -1, 0x4000, 4, 1]);
    numeric("0.00000001", &[1, -2, 0, 8, 1]);
    numeric("NaN", &[0, 0, 0xc000u16.cast_signed(), 0]);
    numeric("Infinity", &[0, 0, 0xd000u16.cast_signed(), 32]);
    numeric("-Infinity", &[0, 0, 0xf000u16.cast_signed(), 32]);
    for wrong in ["", "-", ".5", "1e5", "1,5", "+1", "1.2.3", "--1", "0x1", "NaNs", "nan"] {
        fails(&Type::NUMERIC, wrong);
    }
    // A digit of the binary form stands for four decimal digits. The number of digits before the point, minus 1, is sent as an Int16. So
    // at most 32,768 digits can be before the point: 4 * 32,768 decimal digits.
    fails(&Type::NUMERIC, &"9".repeat(4 * 32_768 + 1));
    let largest = to_binary(&Type::NUMERIC, "9".repeat(4 * 32_768).as_bytes()).expect("weight 32,767");
    assert_eq!(largest[..4], words_of([i16::MIN, i16::MAX]));
}

#[test]
fn texts_and_bytes_are_converted() {
    for type_ in [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::JSON, Type::XML, mood()] {
        assert!(is_same_in_both_formats(&type_), "{type_}");
        converts(&type_, " a\\\"", &[b" a\\\""]);
    }
    assert!(is_same_in_both_formats(&custom("d", 16_600, Kind::Domain(mood()))));
    assert!(is_same_in_both_formats(&custom("citext", 16_601, Kind::Simple)));
    assert!(!is_same_in_both_formats(&Type::JSONB) && !is_same_in_both_formats(&Type::TEXT_ARRAY));
    converts(&Type::JSONB, "{}", &[b"\x01{}"]);
    converts(&custom("ltree", 16_602, Kind::Simple), "a.b", &[b"\x01a.b"]);
    converts(&Type::BYTEA, "\\x00fF", &[b"\x00\xff"]);
    converts(&Type::BYTEA, "a\\\\\\000", &[b"a\\\0"]);
    converts(&Type::CHAR, "", &[b"\0"]);
    converts(&Type::CHAR, "\\", &[b"\\"]);
    converts(&Type::CHAR, "\\377", &[b"\xff"]);
    assert_eq!(to_binary(&Type::CHAR, b"\xff").expect("PostgreSQL 15 sends the byte"), b"\xff");
    whole(
        &Type::UUID,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        &[b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11"],
    );
    converts(&Type::BIT, "101", &[b"\0\0\0\x03\xa0"]);
    converts(&Type::VARBIT, "1111111101", &[b"\0\0\0\x0a\xff\x40"]);
    converts(&Type::VARBIT, "", &[b"\0\0\0\0"]);
    whole(&Type::TID, "(1,2)", &[b"\0\0\0\x01\0\x02"]);
    converts(&Type::PG_SNAPSHOT, "1:9:", &[b"\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x09"]);
    converts(
        &Type::PG_SNAPSHOT,
        "1:9:3",
        &[b"\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x03"],
    );
    converts(
        &hstore_type(),
        r#""a"=>"\"", "b"=>NULL"#,
        &[b"\0\0\0\x02\0\0\0\x01a\0\0\0\x01\"\0\0\0\x01b\xff\xff\xff\xff"],
    );
    converts(&hstore_type(), "", &[b"\0\0\0\0"]);
    converts(
        &Type::TS_VECTOR,
        r"'a':1A 'b''\\':2C,16383",
        &[b"\0\0\0\x02a\0\0\x01\xc0\x01b'\\\0\0\x02\x40\x02\x3f\xff"],
    );
    converts(&Type::TS_VECTOR, "'a'", &[b"\0\0\0\x01a\0\0\0"]);
    for (type_, wrong) in [
        (Type::TS_VECTOR, "'a':"),
        (Type::TS_VECTOR, "'a':0"),
        (Type::TS_VECTOR, "'a':16384"),
        (Type::TS_VECTOR, "'a':1,"),
        (Type::TS_VECTOR, "'a':1D"),
        (Type::TS_VECTOR, "'a'  'b'"),
        (Type::TS_VECTOR, "'a' "),
        (Type::TS_VECTOR, "'a\0'"),
        (Type::CHAR, "ab"),
        (Type::CHAR, "\\x41"),
        (Type::BYTEA, "\\x0"),
        (Type::VARBIT, "012"),
        (Type::TID, "(4294967296,0)"),
        (Type::TID, "(-1,0)"),
        (Type::PG_SNAPSHOT, "1:9:3,"),
        (hstore_type(), r#"a=>"b""#),
        (hstore_type(), r#""a"=>"b","c"=>NULL"#),
    ] {
        fails(&type_, wrong);
    }
}

#[test]
fn dates_are_converted() {
    let date = |text, days: i32| converts(&Type::DATE, text, &[&days.to_be_bytes()]);
    date("2000-01-01", 0);
    date("1999-12-31", -1);
    date("2000-02-29", 59);
    date("2000-03-01", 60);
    date("1970-01-01", -10_957);
    date("0001-01-01", -730_119);
    date("0001-12-31 BC", -730_120);
    date("0005-02-29 BC", -731_887);
    date("4714-11-24 BC", -2_451_545);
    date("5874897-12-31", 2_145_031_948);
    date("infinity", i32::MAX);
    date("-infinity", i32::MIN);
    for wrong in [
        "",
        "0000-01-01",
        "0000-01-01 BC",
        "2000-1-1",
        "2000-13-01",
        "2000-00-01",
        "2000-01-00",
        "2000-02-30",
        "1900-02-29",
        "2001-02-29",
        "4714-11-23 BC",
        "5874898-01-01",
        "99999999-01-01",
        "200-01-01",
        "2000-01-01 AD",
        "2000-01-01 BC BC",
        "infinity BC",
        "01/02/2000",
        "01-02-2000",
        "01.02.2000",
        "0004-02-29 BC",
    ] {
        fails(&Type::DATE, wrong);
    }
}

#[test]
fn times_are_converted() {
    let time = |text, microseconds: i64| converts(&Type::TIME, text, &[&microseconds.to_be_bytes()]);
    time("00:00:00", 0);
    time("24:00:00", 86_400_000_000);
    time("10:20:30.5", 37_230_500_000);
    time("00:00:00.000001", 1);
    let zoned = |text, microseconds: i64, west: i32| {
        converts(&Type::TIMETZ, text, &[&microseconds.to_be_bytes(), &west.to_be_bytes()]);
    };
    zoned("00:00:01+00", 1_000_000, 0);
    zoned("00:00:01-08", 1_000_000, 28_800);
    zoned("00:00:01+05:30:01", 1_000_000, -19_801);
    for wrong in [
        "",
        "1:00:00",
        "24:00:00.1",
        "25:00:00",
        "00:60:00",
        "00:00:60",
        "00:00",
        "00:00:00.",
        "00:00:00.1234567",
    ] {
        fails(&Type::TIME, wrong);
        fails(&Type::TIMETZ, &format!("{wrong}+00"));
    }
    for wrong in
        ["00:00:00", "00:00:00 UTC", "00:00:00+1", "00:00:00+16", "00:00:00+01:60", "00:00:00+01:02:03:04"]
    {
        fails(&Type::TIMETZ, wrong);
    }
}

#[test]
fn timestamps_are_converted() {
    let plain = |text, microseconds: i64| converts(&Type::TIMESTAMP, text, &[&microseconds.to_be_bytes()]);
    plain("2000-01-01 00:00:00", 0);
    plain("1999-12-31 23:59:59.999999", -1);
    plain("4714-11-24 00:00:00 BC", -211_813_488_000_000_000);
    plain("294276-12-31 23:59:59.999999", 9_223_371_331_199_999_999);
    plain("infinity", i64::MAX);
    let zoned = |text, microseconds: i64| converts(&Type::TIMESTAMPTZ, text, &[&microseconds.to_be_bytes()]);
    zoned("2000-01-01 00:00:00+00", 0);
    zoned("2000-01-01 05:30:00.5+05:30", 500_000);
    zoned("1999-12-31 16:00:00-08", 0);
    zoned("0001-12-31 23:59:59+00 BC", -730_119 * 86_400_000_000 - 1_000_000);
    zoned("-infinity", i64::MIN);
    for wrong in [
        "2000-01-01",
        "2000-01-01T00:00:00",
        "2000-01-01 00:00:00 PST",
        "294277-01-01 00:00:00",
        "5874897-12-31 00:00:00",
    ] {
        fails(&Type::TIMESTAMP, wrong);
        fails(&Type::TIMESTAMPTZ, &format!("{wrong}+00"));
    }
    fails(&Type::TIMESTAMP, "2000-01-01 00:00:00+00");
    fails(&Type::TIMESTAMPTZ, "2000-01-01 00:00:00");
    let error = to_binary(&Type::TIMESTAMPTZ, b"01/02/2000 03:04:05 CET").expect_err("the DateStyle SQL");
    assert_eq!(
        error.to_string(),
        "the text form of type timestamptz is not in the DateStyle ISO: request binary format"
    );
}

#[test]
fn intervals_are_converted() {
    let interval = |text, microseconds: i64, days: i32, months: i32| {
        let pieces: [&[u8]; 3] = [&microseconds.to_be_bytes(), &days.to_be_bytes(), &months.to_be_bytes()];
        converts(&Type::INTERVAL, text, &pieces);
    };
    interval("00:00:00", 0, 0, 0);
    interval("1 year 2 mons -3 days +04:05:06.7", 14_706_700_000, -3, 14);
    interval("-1 years -2 mons +3 days -04:05:06.7", -14_706_700_000, 3, -14);
    interval("1 mon", 0, 0, 1);
    interval("-1 days", 0, -1, 0);
    interval("100:00:00", 360_000_000_000, 0, 0);
    interval("-2562047788:00:54.775808", i64::MIN, 0, 0);
    interval("178956970 years 7 mons", 0, 0, i32::MAX);
    interval("infinity", i64::MAX, i32::MAX, i32::MAX);
    interval("-infinity", i64::MIN, i32::MIN, i32::MIN);
    for wrong in [
        "",
        " ",
        "1",
        "1 ",
        "1 year ",
        "1 year1 mon",
        "1 mon 1 year",
        "1 day 1 day",
        "1 days  00:00:00",
        "4:05:06",
        "0",
        "1-2",
        "3 4:05:06",
        "@ 1 day",
        "1 day ago",
        "P1D",
        "PT0S",
        "1 hour",
        "2562047788:00:54.775808",
        "178956970 years 8 mons",
        "2147483648 days",
        "+-1 days",
        "99999999999999999999 days",
    ] {
        fails(&Type::INTERVAL, wrong);
    }
}

#[test]
fn addresses_and_geometric_values_are_converted() {
    converts(&Type::INET, "10.0.0.1", &[b"\x02\x20\0\x04\x0a\0\0\x01"]);
    converts(&Type::CIDR, "10.1.0.0/16", &[b"\x02\x10\x01\x04\x0a\x01\0\0"]);
    converts(&Type::INET, "::1/64", &[b"\x03\x40\0\x10", &[0; 15], b"\x01"]);
    converts(&Type::INET, "::", &[b"\x03\x80\0\x10", &[0; 16]]);
    for wrong in ["", "10.0.0", "10.0.0.1/33", "10.0.0.1/", "::/129", "::1%eth0", "10.0.0.1/-1"] {
        fails(&Type::INET, wrong);
    }
    whole(&Type::MACADDR, "08:00:2b:01:02:03", &[b"\x08\0\x2b\x01\x02\x03"]);
    whole(&Type::MACADDR8, "08:00:2b:01:02:03:04:05", &[b"\x08\0\x2b\x01\x02\x03\x04\x05"]);
    fails(&Type::MACADDR, "08-00-2b-01-02-03");

    let [zero, one, two] = [0.0, 1.0, 2.0].map(f64::to_be_bytes);
    whole(&Type::POINT, "(1,-2)", &[&one, &(-2.0f64).to_be_bytes()]);
    whole(&Type::LINE, "{1,2,0}", &[&one, &two, &zero]);
    whole(&Type::LSEG, "[(0,1),(2,0)]", &[&zero, &one, &two, &zero]);
    whole(&Type::BOX, "(1,1),(0,0)", &[&one, &one, &zero, &zero]);
    whole(&Type::PATH, "[(0,1)]", &[b"\0\0\0\0\x01", &zero, &one]);
    whole(&Type::PATH, "((0,1),(2,0))", &[b"\x01\0\0\0\x02", &zero, &one, &two, &zero]);
    whole(&Type::POLYGON, "((0,1))", &[b"\0\0\0\x01", &zero, &one]);
    whole(&Type::CIRCLE, "<(0,1),2>", &[&zero, &one, &two]);
    fails(&Type::PATH, "[(0,1))");
    fails(&Type::POLYGON, "()");
}

/// The header of an array with one dimension: the number of dimensions, whether an element is NULL, the type of the elements, and the
/// length and the lower bound of the dimension.
fn header(has_null: bool, member: u32, length: u32, lower: i32) -> Vec<u8> {
    [1, u32::from(has_null), member, length, lower.cast_unsigned()].map(u32::to_be_bytes).concat()
}

#[test]
fn arrays_are_converted() {
    let int4s = Type::INT4_ARRAY;
    whole(&int4s, "{}", &[b"\0\0\0\0\0\0\0\0\0\0\0\x17"]);
    whole(&int4s, "{7,NULL}", &[&header(true, 23, 2, 1), b"\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff"]);
    whole(&int4s, "[-1:0]={7,8}", &[&header(false, 23, 2, -1), b"\0\0\0\x04\0\0\0\x07\0\0\0\x04\0\0\0\x08"]);
    whole(
        &Type::BOOL_ARRAY,
        "[0:0][5:6]={{t,f}}",
        &[b"\0\0\0\x02\0\0\0\0\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x05\0\0\0\x01\x01\0\0\0\x01\0"],
    );
    whole(
        &Type::TEXT_ARRAY,
        r#"{"","NULL","a \"\\",b'}"#,
        &[&header(false, 25, 4, 1), b"\0\0\0\0\0\0\0\x04NULL\0\0\0\x04a \"\\\0\0\0\x02b'"],
    );
    converts(&Type::INT2_VECTOR, "-1 2", &[&header(false, 21, 2, 0), b"\0\0\0\x02\xff\xff\0\0\0\x02\0\x02"]);
    converts(&Type::OID_VECTOR, "", &[&header(false, 26, 0, 0)]);
    let [zero, one] = [0.0, 1.0].map(f64::to_be_bytes);
    let square = [one, one, zero, zero].concat();
    let boxes = [&b"\0\0\0\x20"[..], &square, b"\0\0\0\x20", &square].concat();
    whole(&Type::BOX_ARRAY, "{(1,1),(0,0);(1,1),(0,0)}", &[&header(false, 603, 2, 1), &boxes]);
    let domain = custom("square", 16_700, Kind::Domain(Type::BOX));
    whole(&array_of(&domain), "{(1,1),(0,0);(1,1),(0,0)}", &[&header(false, 16_700, 2, 1), &boxes]);
    let domain = custom("boxes", 16_710, Kind::Domain(Type::BOX_ARRAY));
    let element = [&header(false, 603, 2, 1)[..], &boxes].concat();
    let length = u32::try_from(element.len()).expect("a short array").to_be_bytes();
    let elements = [&length[..], &element, &length, &element].concat();
    whole(
        &array_of(&domain),
        r#"{"{(1,1),(0,0);(1,1),(0,0)}";"{(1,1),(0,0);(1,1),(0,0)}"}"#,
        &[&header(false, 16_710, 2, 1), &elements],
    );
    for wrong in [
        "1",
        "{1,2",
        "{,}",
        "{1,}",
        "{1}}",
        "{1} ",
        "{{1},{2,3}}",
        "{{1},2}",
        "{1,{2}}",
        "{{}}",
        "{ 1}",
        "{1, 2}",
        "{1;2}",
        "{\"1}",
        "{1\"2\"}",
        "{\"1\"\"2\"}",
        "[1:2]={1}",
        "[1:1][1:1]={1}",
        "[1:1]={{1}}",
        "[2:1]={}",
        "[1:0]={}",
        "[1]={1}",
        "[1:1]{1}",
        "[a:b]={1}",
        "[-2147483648:2147483647]={1}",
        "[1:1][1:1][1:1][1:1][1:1][1:1][1:1]={{{{{{{1}}}}}}}",
        "{{{{{{{1}}}}}}}",
        "{x}",
        "{\\1}",
    ] {
        fails(&int4s, wrong);
    }
}

#[test]
fn composites_and_domains_are_converted() {
    let number = b"\0\0\0\x02\0\0\0\x17\0\0\0\x04\0\0\0\x07";
    whole(&pair(), r#"(7,"a ""\\")"#, &[number, b"\0\0\0\x19\0\0\0\x04a \"\\"]);
    whole(&pair(), "(7,)", &[number, b"\0\0\0\x19\xff\xff\xff\xff"]);
    whole(&pair(), r#"(7,"")"#, &[number, b"\0\0\0\x19\0\0\0\0"]);
    whole(&pair(), r#"(7,"\"")"#, &[number, b"\0\0\0\x19\0\0\0\x01\""]);
    let one = custom("one", 16_701, Kind::Composite(vec![Field::new("a".into(), moods())]));
    whole(&one, "()", &[b"\0\0\0\x01\0\0\x40\x12\xff\xff\xff\xff"]);
    let value = [&header(false, 16_401, 1, 1)[..], b"\0\0\0\x03sad"].concat();
    whole(&one, "({sad})", &[b"\0\0\0\x01\0\0\x40\x12\0\0\0\x1b", &value]);
    whole(&custom("none", 16_702, Kind::Composite(vec![])), "()", &[b"\0\0\0\0"]);
    let pairs = array_of(&pair());
    let element = [&b"\0\0\0\x18"[..], number, b"\0\0\0\x19\xff\xff\xff\xff"].concat();
    whole(&pairs, r#"{"(7,)",NULL}"#, &[&header(true, 16_400, 2, 1), &element, b"\xff\xff\xff\xff"]);
    for wrong in ["", "7,a", "(7)", "(7,a,b)", "(7,a b)", "(7,a\"b\")", "(x,a)", "(7,(a))", "(\"7,a)"] {
        fails(&pair(), wrong);
    }
}

#[test]
fn ranges_and_multiranges_are_converted() {
    let bound = |number: i32| [4, number].map(i32::to_be_bytes).concat();
    whole(&Type::INT4_RANGE, "[1,5)", &[b"\x02", &bound(1), &bound(5)]);
    whole(&Type::INT4_RANGE, "(1,5]", &[b"\x04", &bound(1), &bound(5)]);
    whole(&Type::INT4_RANGE, "(,5)", &[b"\x08", &bound(5)]);
    whole(&Type::INT4_RANGE, "[1,)", &[b"\x12", &bound(1)]);
    whole(&Type::INT4_RANGE, "(,)", &[b"\x18"]);
    whole(&Type::INT4_RANGE, "empty", &[b"\x01"]);
    whole(&words(), r#"["","a""\\,"]"#, &[b"\x06\0\0\0\0\0\0\0\x04a\"\\,"]);
    whole(&Type::INT4MULTI_RANGE, "{}", &[b"\0\0\0\0"]);
    whole(
        &Type::INT4MULTI_RANGE,
        "{(,1),[5,)}",
        &[b"\0\0\0\x02\0\0\0\x09\x08", &bound(1), b"\0\0\0\x09\x12", &bound(5)],
    );
    for wrong in ["", "1,5", "[1,5", "[1;5)", "[1, 5)", "[1,5)x", "EMPTY", "[1,2,3)", "[[1,2)"] {
        fails(&Type::INT4_RANGE, wrong);
    }
    for wrong in ["", "{[1,2)[3,4)}", "{[1,2),}", "{,[1,2)}", "[1,2)"] {
        fails(&Type::INT4MULTI_RANGE, wrong);
    }
}

#[test]
fn a_type_that_cannot_be_converted_is_named_by_the_error() {
    for (type_, name) in [
        (Type::MONEY, "money"),
        (Type::MONEY_ARRAY, "money"),
        (Type::TSQUERY, "tsquery"),
        (Type::RECORD, "record"),
        (Type::ACLITEM, "aclitem"),
        (custom("geometry", 16_703, Kind::Simple), "geometry"),
        (custom("d", 16_704, Kind::Domain(Type::MONEY_ARRAY)), "money"),
        (custom("c", 16_705, Kind::Composite(vec![Field::new("a".into(), Type::MONEY)])), "money"),
    ] {
        let expected = format!(
            "the text form of type {name} cannot be converted to the binary form: request binary format"
        );
        assert_eq!(check(&type_).expect_err("not converted").to_string(), expected);
    }
}

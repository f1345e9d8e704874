//! Tests of the rows of a COPY: expected bytes, round trips in pieces of any length, and malformed data.

use pg_wire::copy::{
    CopyError, CopyErrorKind, CopyOptions, CopyReader, CopyValue, CopyValues, CopyWriter, ForceColumns,
    Header, OrDefault, RowFormat,
};
use pg_wire::oid;
use proptest::prelude::*;

/// Writes rows, and returns the data.
fn written(options: &CopyOptions, names: &[&str], rows: &[&[&dyn CopyValue]]) -> Vec<u8> {
    try_write(options, names, rows).expect("the rows can be written")
}

fn try_write(
    options: &CopyOptions,
    names: &[&str],
    rows: &[&[&dyn CopyValue]],
) -> Result<Vec<u8>, CopyError> {
    let mut writer =
        if names.is_empty() { CopyWriter::new(options)? } else { CopyWriter::with_names(options, names)? };
    for row in rows {
        writer.row(*row)?;
    }
    writer.finish()?;
    Ok(writer.data().to_vec())
}

type Row = Vec<Option<Vec<u8>>>;

/// Reads data in pieces of at most `piece` bytes, and returns the fields.
fn read(mut reader: CopyReader, data: &[u8], piece: usize) -> Result<Vec<Row>, CopyError> {
    let mut rows = Vec::new();
    let owned = |row: pg_wire::copy::CopyRow<'_>| row.iter().map(|field| field.map(<[u8]>::to_vec)).collect();
    for mut piece in data.chunks(piece) {
        while let Some(row) = reader.row(&mut piece)? {
            rows.push(owned(row));
        }
    }
    if let Some(row) = reader.finish()? {
        rows.push(owned(row));
    }
    assert!(reader.finish()?.is_none(), "the data has ended");
    Ok(rows)
}

/// Reads data as a whole and in pieces of every length below 40, checks that the results are equal, and returns the rows.
#[track_caller]
fn read_all(reader: impl Fn() -> CopyReader, data: &[u8]) -> Vec<Row> {
    let whole = read(reader(), data, data.len().max(1)).expect("the data can be read");
    for piece in 1..data.len().min(40) {
        assert_eq!(read(reader(), data, piece).expect("in pieces"), whole, "pieces of {piece} bytes");
    }
    whole
}

fn reader(options: &CopyOptions) -> CopyReader {
    CopyReader::new(options).expect("the options are valid")
}

fn rows(expected: &[&[Option<&str>]]) -> Vec<Row> {
    let field = |field: &Option<&str>| field.map(|text| text.as_bytes().to_vec());
    expected.iter().map(|row| row.iter().map(field).collect()).collect()
}

// ---- Expected bytes -------------------------------------------------------------------------------------------------

#[test]
fn every_type_has_the_text_form_of_the_server() {
    let values: [(&dyn CopyValue, &str); 34] = [
        (&true, "t"),
        (&false, "f"),
        (&0i16, "0"),
        (&i16::MIN, "-32768"),
        (&i32::MAX, "2147483647"),
        (&i32::MIN, "-2147483648"),
        (&i64::MIN, "-9223372036854775808"),
        (&i64::MAX, "9223372036854775807"),
        (&u32::MAX, "4294967295"),
        (&100i32, "100"),
        (&99i32, "99"),
        (&0.0f64, "0"),
        (&-0.0f64, "-0"),
        (&1.5f64, "1.5"),
        (&0.1f32, "0.1"),
        (&1e14f64, "100000000000000"),
        (&1e15f64, "1e+15"),
        (&1.25e-5f64, "1.25e-05"),
        (&0.0001f64, "0.0001"),
        (&1e300f64, "1e+300"),
        (&5e-324f64, "5e-324"),
        (&999_999f32, "999999"),
        (&1e6f32, "1e+06"),
        (&f64::NAN, "NaN"),
        (&f64::INFINITY, "Infinity"),
        (&f32::NEG_INFINITY, "-Infinity"),
        (&"text", "text"),
        (&String::from("é"), "é"),
        (&b"\x00\xff"[..].to_vec(), "\\\\x00ff"),
        (b"", "\\\\x"),
        (&Some(7i32), "7"),
        (&None::<i32>, "\\N"),
        (&"\x08\x0c\n\r\t\x0b\\\x01", "\\b\\f\\n\\r\\t\\v\\\\\x01"),
        (&"\\N", "\\\\N"),
    ];
    for (value, text) in values {
        let data = written(&CopyOptions::text(), &[], &[&[value]]);
        assert_eq!(String::from_utf8(data).expect("UTF-8"), format!("{text}\n"));
    }
    let long = vec![0xab; 100];
    assert_eq!(
        written(&CopyOptions::csv(), &[], &[&[&long]]),
        format!("\\x{}\n", "ab".repeat(100)).into_bytes()
    );
}

#[test]
fn csv_is_quoted_as_the_server_quotes() {
    let csv = CopyOptions::csv;
    let golden: [(CopyOptions, &[&dyn CopyValue], &str); 15] = [
        (csv(), &[&1i32, &"a", &None::<&str>, &""], "1,a,,\"\"\n"),
        (csv(), &[&"a,b", &"a\"b", &"a\nb", &"a\rb"], "\"a,b\",\"a\"\"b\",\"a\nb\",\"a\rb\"\n"),
        (csv(), &[&"\\."], "\"\\.\"\n"),
        (csv(), &[&"\\.", &1i32], "\\.,1\n"),
        (csv(), &[&" a "], " a \n"),
        (csv().null("NULL"), &[&"NULL", &None::<&str>, &""], "\"NULL\",NULL,\n"),
        (csv().null("7"), &[&7i32, &77i32, &None::<i32>], "\"7\",77,7\n"),
        (csv().quote(b'\''), &[&"a'b", &"a\"b"], "'a''b',a\"b\n"),
        (csv().escape(b'\\'), &[&"a\"b", &"a\\b", &"a\\,b"], "\"a\\\"b\",a\\b,\"a\\\\,b\"\n"),
        (csv().delimiter(b'1'), &[&12i32, &2i32], "\"12\"12\n"),
        (csv().delimiter(b'-'), &[&-2i32, &-0.5f64], "\"-2\"-\"-0.5\"\n"),
        (csv().quote(b'x').delimiter(b';'), &[b"\x01"], "x\\xx01x\n"),
        (csv().force_quote(ForceColumns::All), &[&1i32, &None::<i32>, &""], "\"1\",,\"\"\n"),
        (csv().delimiter(b'\t'), &[&"a\tb", &"a,b"], "\"a\tb\"\ta,b\n"),
        (csv(), &[], "\n"),
    ];
    for (options, row, text) in golden {
        let data = written(&options, &[], &[row]);
        assert_eq!(String::from_utf8(data).expect("UTF-8"), text, "{options:?}");
    }
}

#[test]
fn the_header_has_the_names_of_the_columns() {
    let names = ["a\tb", "c,d", "\"e"];
    let row: &[&dyn CopyValue] = &[&1i32, &2i32, &3i32];
    let text = CopyOptions::text().header(Header::Present);
    assert_eq!(written(&text, &names, &[row]), b"a\\tb\tc,d\t\"e\n1\t2\t3\n");
    assert_eq!(written(&text, &names, &[]), b"a\\tb\tc,d\t\"e\n", "the header is written without rows too");
    let forced = ForceColumns::Columns(vec!["c,d".into()]);
    let csv = CopyOptions::csv().header(Header::Match).force_quote(forced);
    assert_eq!(written(&csv, &names, &[row]), b"a\tb,\"c,d\",\"\"\"e\"\n1,\"2\",3\n");
    assert!(matches!(CopyWriter::new(&text).unwrap_err().kind(), CopyErrorKind::NoNames));
    let unknown = CopyWriter::with_names(&csv, &["a"]).unwrap_err();
    assert_eq!(unknown.to_string(), "COPY: FORCE_QUOTE names \"c,d\", but no column has this name");
}

#[test]
fn all_bytes_of_the_first_character_are_escaped_in_a_value_that_equals_the_null_string() {
    for (null, expected) in
        [("é", "\\303\\251\n"), ("€b", "\\342\\202\\254b\n"), ("ab", "\\141b\n"), ("\\t", "\\011\n")]
    {
        let options = CopyOptions::text().delimiter(b'|').null(null);
        let value = if null == "\\t" { "\t" } else { null };
        let data = written(&options, &["a"], &[&[&value]]);
        assert_eq!(data.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        assert_eq!(read_all(|| reader(&options), &data), rows(&[&[Some(value)]]));
    }
}

#[test]
fn a_header_in_another_encoding_is_compared_with_ascii_names_only() {
    let options = CopyOptions::csv().encoding("LATIN1").header(Header::Match);
    let mut reader = CopyReader::with_names(&options, &["a"]).expect("an ASCII name");
    let row = reader.row(&mut &b"a\nb\n"[..]).expect("the header is equal").expect("a row");
    assert_eq!(row.bytes(0), Some(&b"b"[..]));
    let error = CopyReader::with_names(&options, &["é"]).expect_err("the bytes of the header are not UTF-8");
    assert!(matches!(error.kind(), CopyErrorKind::Option(_)), "{error}");
}

#[test]
fn binary_rows_have_a_header_and_a_trailer() {
    let row: &[&dyn CopyValue] = &[&1i32, &"ab", &None::<bool>, &0.5f64];
    let data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\x04\0\0\0\x01\0\0\0\x02ab\xff\xff\xff\xff\
                 \0\0\0\x08\x3f\xe0\0\0\0\0\0\0\xff\xff";
    assert_eq!(written(&CopyOptions::binary(), &[], &[row]), data);
    let empty = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff";
    assert_eq!(written(&CopyOptions::binary(), &[], &[]), empty);

    let read = read_all(|| reader(&CopyOptions::binary()), data);
    let float = 0.5f64.to_be_bytes().to_vec();
    assert_eq!(read, [[Some(vec![0, 0, 0, 1]), Some(b"ab".to_vec()), None, Some(float)]]);
    assert!(read_all(|| reader(&CopyOptions::binary()), empty).is_empty());

    let extended = b"PGCOPY\n\xff\r\n\0\0\0\xab\xcd\0\0\0\x05extra\0\0\xff\xff";
    assert_eq!(read_all(|| reader(&CopyOptions::binary()), extended), [vec![]]);
}

#[test]
fn a_value_that_is_equal_to_the_null_string_is_not_read_as_null() {
    for (null, value, field) in [
        ("NULL", "NULL", "\\116ULL"),
        ("\\t", "\t", "\\011"),
        ("\\011", "\\011", "\\\\011"),
        ("\\\\", "\\", "\\134"),
        ("A", "A", "\\101"),
    ] {
        let options = CopyOptions::text().null(null);
        let options = if null == "\\t" { options.delimiter(b'|') } else { options };
        let data = written(&options, &[], &[&[&value]]);
        assert_eq!(String::from_utf8(data.clone()).expect("UTF-8"), format!("{field}\n"));
        assert_eq!(read_all(|| reader(&options), &data), rows(&[&[Some(value)]]));
    }
    let options = CopyOptions::text().null("");
    let error = try_write(&options, &[], &[&[&1i32, &None::<&str>], &[&1i32, &""]]).unwrap_err();
    assert_eq!((error.row(), error.column()), (Some(2), Some(1)));
    assert!(matches!(error.kind(), CopyErrorKind::EmptyIsNull));
}

#[test]
fn the_default_string_is_written_for_the_default_value_only() {
    let default = OrDefault::<i32>::Default;
    for (options, text) in [
        (CopyOptions::text().default_string("\\D"), "\\D\t\\N\t\\\\D\tD\n"),
        (CopyOptions::text().default_string("D"), "D\t\\N\t\\\\D\t\\104\n"),
        (CopyOptions::text().default_string("D").null("\\104"), "D\t\\104\t\\\\D\t\\x44\n"),
        (CopyOptions::csv().default_string("\\D"), "\\D,,\"\\D\",D\n"),
        (CopyOptions::csv().default_string("D").force_quote(ForceColumns::All), "D,,\"\\D\",\"D\"\n"),
    ] {
        let row: &[&dyn CopyValue] = &[&default, &None::<&str>, &"\\D", &OrDefault::Value("D")];
        let data = written(&options, &[], &[row]);
        assert_eq!(String::from_utf8(data.clone()).expect("UTF-8"), text, "{options:?}");
        let mut reader = reader(&options);
        let row = reader.row(&mut &data[..]).expect("well-formed").expect("a row");
        assert_eq!([0, 1, 2, 3].map(|index| row.is_default(index)), [true, false, false, false]);
        assert_eq!(row.get::<Option<i32>>(1).expect("NULL"), None);
        assert_eq!((row.get::<&str>(2).expect("text"), row.get::<&str>(3).expect("text")), ("\\D", "D"));
        assert_eq!(row.bytes(0), None);
        let error = row.get::<Option<i32>>(0).unwrap_err();
        assert!(matches!(error.kind(), CopyErrorKind::IsDefault), "{error}");
    }
    for options in [CopyOptions::text(), CopyOptions::csv(), CopyOptions::binary()] {
        let error = try_write(&options, &[], &[&[&1i32, &Some(default)]]).unwrap_err();
        assert_eq!(error.to_string(), "COPY row 1, column 1: the options have no DEFAULT string");
    }
    let error = try_write(&CopyOptions::text().default_string(""), &[], &[&[&""]]).unwrap_err();
    assert!(matches!(error.kind(), CopyErrorKind::EmptyIsDefault), "{error}");
}

// ---- Reading --------------------------------------------------------------------------------------------------------

#[test]
fn every_escape_of_the_text_format_is_read() {
    let read = |data: &[u8]| read_all(|| reader(&CopyOptions::text()), data);
    let fields = |text: &[u8]| vec![vec![Some(text.to_vec())]];
    assert_eq!(read(b"\\b\\f\\n\\r\\t\\v\\\\\n"), fields(b"\x08\x0c\n\r\t\x0b\\"));
    assert_eq!(read(b"\\101\\60x\\7\\x4\\x4a4\\xg\\q\n"), fields(b"A0x\x07\x04J4xgq"));
    assert_eq!(read(b"\\777\\400\n"), fields(b"\xff\x00"), "as on the server, the lower eight bits count");
    assert_eq!(read(b"a\\\nb\\\tc\n"), fields(b"a\nb\tc"));
    assert_eq!(read(b"\\\\N\t\\N\n"), rows(&[&[Some("\\N"), None]]));
    assert_eq!(read(b"a\t\n\tb\n"), rows(&[&[Some("a"), Some("")], &[Some(""), Some("b")]]));
    assert_eq!(read(b"a\nb"), rows(&[&[Some("a")], &[Some("b")]]), "the last line end may be missing");
    assert_eq!(read(b"a\n\\.\nb\n"), rows(&[&[Some("a")]]), "data after the end marker is skipped");
    assert_eq!(read(b"a\n\\."), rows(&[&[Some("a")]]));
}

#[test]
fn every_line_end_is_read_and_a_mixture_is_an_error() {
    for options in [CopyOptions::text(), CopyOptions::csv()] {
        for end in ["\n", "\r", "\r\n"] {
            let data = format!("a{end}b{end}{end}");
            let read = read_all(|| reader(&options), data.as_bytes());
            let empty = if options == CopyOptions::csv() { None } else { Some("") };
            assert_eq!(read, rows(&[&[Some("a")], &[Some("b")], &[empty]]), "{end:?}");
        }
        for data in ["a\nb\rc\n", "a\nb\r\nc\n", "a\rb\nc\r", "a\r\nb\nc\r\n", "a\r\nb\rc\r\n"] {
            for piece in 1..=data.len() {
                let error = read(reader(&options), data.as_bytes(), piece).unwrap_err();
                assert!(matches!(error.kind(), CopyErrorKind::Newline), "{data:?}: {error}");
                assert_eq!((error.row(), error.column()), (Some(2), Some(0)), "{data:?}");
            }
        }
    }
}

#[test]
fn csv_quotes_are_read_as_on_the_server() {
    let check = |options: CopyOptions, data: &str, expected: &[&[Option<&str>]]| {
        assert_eq!(read_all(|| reader(&options), data.as_bytes()), rows(expected), "{data:?}");
    };
    let csv = CopyOptions::csv;
    check(csv(), "\"a,b\",\"c\"\"d\",\"\",\n", &[&[Some("a,b"), Some("c\"d"), Some(""), None]]);
    check(csv(), "\"a\nb\r\nc\",d\n", &[&[Some("a\nb\r\nc"), Some("d")]]);
    check(csv(), "a\"b,c\"d\"e\"\n", &[&[Some("ab,cde")]]);
    check(csv(), "\"a\"b\n", &[&[Some("ab")]]);
    check(csv(), "\"a\" \"b\"\n", &[&[Some("a b")]]);
    check(csv(), " a , b\n", &[&[Some(" a "), Some(" b")]]);
    check(csv().escape(b'\\'), "\"a\\\"b\\\\c\\d\"\n", &[&[Some("a\"b\\c\\d")]]);
    check(csv().escape(b'\\'), "\"a\"\"b\"\n", &[&[Some("ab")]]);
    check(csv().null("x"), "x,\"x\",xx\n", &[&[None, Some("x"), Some("xx")]]);
    check(csv(), "\"a\"", &[&[Some("a")]]);
    check(csv(), "\\.\na\n", &[&[Some("\\.")], &[Some("a")]]);
    check(csv().csv_end_marker(true), "a\n\\.\nb\n", &[&[Some("a")]]);
    check(csv().csv_end_marker(true), "\"\\.\"\nb\n", &[&[Some("\\.")], &[Some("b")]]);
}

#[test]
fn force_null_and_force_not_null_are_applied_as_on_the_server() {
    let columns = |names: &[&str]| ForceColumns::Columns(names.iter().map(|name| (*name).into()).collect());
    let check = |options: &CopyOptions, data: &str, expected: &[&[Option<&str>]]| {
        let reader = || CopyReader::with_names(options, &["a", "b"]).expect("the options are valid");
        assert_eq!(read_all(reader, data.as_bytes()), rows(expected), "{options:?}");
    };
    let data = ",\n\"\",\"\"\nx,\"x\"\n";
    let plain: &[&[Option<&str>]] = &[&[None, None], &[Some(""), Some("")], &[Some("x"), Some("x")]];
    check(&CopyOptions::csv(), data, plain);
    let null = CopyOptions::csv().force_null(columns(&["b"]));
    check(&null, data, &[&[None, None], &[Some(""), None], &[Some("x"), Some("x")]]);
    let not_null = CopyOptions::csv().force_not_null(columns(&["b"]));
    check(&not_null, data, &[&[None, Some("")], &[Some(""), Some("")], &[Some("x"), Some("x")]]);
    let both = CopyOptions::csv().null("x\\").force_null(ForceColumns::All).force_not_null(ForceColumns::All);
    check(&both.escape(b'\\'), "x\\,\"x\\\\\"\n", &[&[Some("x\\"), None]]);
    // FORCE_NULL does not apply to the names in the header line.
    let header = CopyOptions::csv().force_null(ForceColumns::All).null("a").header(Header::Match);
    check(&header, "\"a\",b\n\"a\",b\n", &[&[None, Some("b")]]);

    assert!(matches!(CopyReader::new(&null).unwrap_err().kind(), CopyErrorKind::NoNames));
    assert!(CopyWriter::new(&null).is_ok(), "a writer needs no names");
    let error = CopyReader::with_names(&not_null, &["a"]).unwrap_err();
    assert_eq!(error.to_string(), "COPY: FORCE_NOT_NULL names \"b\", but no column has this name");
}

#[test]
fn text_in_another_encoding_is_lent_as_bytes_only() {
    let options = CopyOptions::text().encoding("LATIN1");
    let mut reader = reader(&options);
    let row = reader.row(&mut &b"7\t\xe9\t\xc3\xa9\t\\N\n"[..]).expect("well-formed").expect("a row");
    assert_eq!(row.get::<i32>(0).expect("ASCII"), 7);
    assert_eq!(row.get::<Option<&str>>(3).expect("NULL"), None);
    assert_eq!((row.bytes(1), row.bytes(2)), (Some(&b"\xe9"[..]), Some(&b"\xc3\xa9"[..])));
    for column in [1, 2] {
        let error = row.get::<&str>(column).unwrap_err();
        let expected = "the value has the encoding LATIN1 instead of UTF-8: use `CopyRow::bytes`";
        assert_eq!(error.to_string(), format!("COPY row 1, column {column}: {expected}"));
    }

    let error = CopyWriter::new(&options).unwrap_err();
    let expected = "COPY: the writer writes UTF-8, but the options have the encoding LATIN1";
    assert_eq!(error.to_string(), expected);
    let error = CopyReader::new(&CopyOptions::csv().encoding("SJIS")).unwrap_err();
    assert!(matches!(error.kind(), CopyErrorKind::ReaderEncoding(_)), "{error}");
    let error = CopyReader::new(&CopyOptions::csv().null("é").encoding("LATIN1")).unwrap_err();
    assert!(matches!(error.kind(), CopyErrorKind::Option(_)), "{error}");
    for options in [CopyOptions::text().encoding("utf-8"), CopyOptions::binary().encoding("LATIN1")] {
        assert!(CopyWriter::new(&options).is_ok() && CopyReader::new(&options).is_ok());
    }
}

#[test]
fn the_header_is_skipped_or_compared() {
    let present = CopyOptions::csv().header(Header::Present);
    assert_eq!(read_all(|| reader(&present), b"a,b\n1,2\n"), rows(&[&[Some("1"), Some("2")]]));
    let mut named = reader(&present);
    let mut data = &b"a,b\nx,2\n"[..];
    let row = named.row(&mut data).expect("a row").expect("whole");
    assert_eq!(row.get::<i32>(0).unwrap_err().name(), Some("a"), "the header gives the names");

    let matched = CopyOptions::csv().header(Header::Match);
    let with = |names: &[&str]| CopyReader::with_names(&matched, names).expect("the options are valid");
    assert_eq!(read_all(|| with(&["a", "b"]), b"a,\"b\"\n1,2\n"), rows(&[&[Some("1"), Some("2")]]));
    let error = read(with(&["a", "b"]), b"a,c\n1,2\n", 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        "COPY header, column 1 \"b\": the name in the header differs from the name of the column"
    );
    let error = read(with(&["a", ""]), b"a,\n1,2\n", 100).unwrap_err();
    assert!(matches!(error.kind(), CopyErrorKind::HeaderName), "NULL is no name");
    let error = read(with(&["a", "b"]), b"a\n1,2\n", 100).unwrap_err();
    assert_eq!((error.row(), error.column()), (Some(0), Some(1)));
    assert!(matches!(CopyReader::new(&matched).unwrap_err().kind(), CopyErrorKind::NoNames));
}

#[test]
fn values_are_read_as_rust_types() {
    let types = [oid::INT4, oid::TEXT, oid::FLOAT8, oid::BYTEA];
    let row: &[&dyn CopyValue] = &[&-7i32, &"tab\t", &0.25f64, b"\x00\x01"];
    for options in [CopyOptions::text(), CopyOptions::csv(), CopyOptions::binary()] {
        let data = written(&options, &[], &[row]);
        let mut reader = reader(&options).types(&types);
        let mut data = &data[..];
        let row = reader.row(&mut data).expect("well-formed").expect("a row");
        let (number, text, float, bytes): (i32, &str, Option<f64>, Vec<u8>) = row.decode().expect("decoded");
        assert_eq!((number, text, float, &bytes[..]), (-7, "tab\t", Some(0.25), &b"\0\x01"[..]));
        assert_eq!((row.number(), row.len(), row.is_empty()), (1, 4, false));

        let error = row.get::<bool>(2).unwrap_err();
        assert_eq!(error.to_string(), "COPY row 1, column 2: the value is not a bool");
        let error = row.get::<i32>(4).unwrap_err();
        assert_eq!(error.to_string(), "COPY row 1, column 4: the row has only 4 fields");
        let error = row.decode::<(i32,)>().unwrap_err();
        assert_eq!(error.to_string(), "COPY row 1: the row has 4 fields but the tuple has 1 members");
    }
}

#[test]
fn a_field_without_escapes_is_lent_from_the_input() {
    for (options, data) in [
        (CopyOptions::text(), &b"abc\tde\n"[..]),
        (CopyOptions::csv(), b"abc,\"de\"\n"),
        (CopyOptions::binary(), b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x03abc\0\0\0\x02de"),
    ] {
        let mut reader = reader(&options);
        let mut rest = data;
        let row = reader.row(&mut rest).expect("well-formed").expect("a row");
        for (field, text) in row.iter().zip(["abc", "de"]) {
            let field = field.expect("not NULL");
            assert_eq!(field, text.as_bytes());
            assert!(data.as_ptr_range().contains(&field.as_ptr()), "{options:?}");
        }
    }
}

// ---- Errors ---------------------------------------------------------------------------------------------------------

#[test]
fn a_line_over_the_limit_is_the_same_error_if_it_arrives_in_pieces() {
    for data in [&b"a\tb\tc\n"[..], b"a\tb\tc"] {
        for piece in 1..data.len() {
            let error =
                read(reader(&CopyOptions::text()).limit(3), data, piece).expect_err("the row is too long");
            assert_eq!(
                error.to_string(),
                "COPY row 1: the row is longer than the limit of 3 bytes",
                "{piece}"
            );
            assert_eq!(error.column(), None);
        }
    }
}

#[test]
fn errors_name_the_row_and_the_column() {
    let text = CopyOptions::text;
    let errors: [(CopyReader, &[u8], &str); 16] = [
        (reader(&text()).columns(2), b"1\t2\n3\n", "COPY row 2, column 1: expected 2 fields, found 1"),
        (reader(&text()).columns(2), b"1\t2\n3\t4\t5\n", "COPY row 2, column 2: expected 2 fields, found 3"),
        (reader(&text()), b"1\t2\n3\n", "COPY row 2, column 1: expected 2 fields, found 1"),
        (
            CopyReader::with_names(&text(), &["a", "b"]).expect("valid"),
            b"1\n",
            "COPY row 1, column 1 \"b\": expected 2 fields, found 1",
        ),
        (reader(&text()), b"a\nb\\.\n", "COPY row 2, column 0: the end marker \\. is not alone on its line"),
        (reader(&text()), b"a\n\\.b\n", "COPY row 2, column 0: the end marker \\. is not alone on its line"),
        (
            reader(&CopyOptions::csv()),
            b"a,b\nc,\"d\n",
            "COPY row 2, column 1: the data ended inside a quoted field",
        ),
        (reader(&text()).limit(4), b"abc\nabcd\n", "COPY row 2: the row is longer than the limit of 4 bytes"),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\r\0",
            "COPY header: the data does not begin with the signature of the binary format",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0",
            "COPY header: the header has unknown critical flags: 0x00010000",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\x80\0\0\0",
            "COPY header: expected a length or a number of fields, found -2147483648",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff\0",
            "COPY row 1: data follows the trailer",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xfe",
            "COPY row 1, column 0: expected a length or a number of fields, found -2",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xfe",
            "COPY row 1, column 1: expected a length or a number of fields, found -2",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\x7f\xff\xff\xff",
            "COPY row 1, column 0: the row is longer than the limit of 1073741823 bytes",
        ),
        (
            reader(&CopyOptions::binary()),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x02a",
            "COPY row 1, column 0: the data ended before the trailer",
        ),
    ];
    for (reader, data, message) in errors {
        for piece in [data.len(), 1, 2, 3, 7] {
            let error = read(reader.clone(), data, piece).unwrap_err();
            // If the row arrives in pieces, the reader checks the limit when it stores a piece. Then the error also names the column in
            // which the piece ends. The test removes this column from the error text.
            let found = error.to_string().replace("row 2, column 0: the row is", "row 2: the row is");
            assert_eq!(found, message, "{} in pieces of {piece}", data.escape_ascii());
        }
    }
    let mut failed = reader(&text()).columns(2);
    assert!(failed.row(&mut &b"a\n"[..]).is_err());
    let again = failed.row(&mut &b"a\tb\n"[..]).unwrap_err();
    assert!(matches!(again.kind(), CopyErrorKind::AfterError), "{again}");
    assert!(failed.finish().is_err());
}

#[test]
fn an_end_marker_over_the_limit_is_the_same_error_if_it_arrives_in_pieces() {
    for piece in [4, 2, 1] {
        let reader = || reader(&CopyOptions::text());
        let error = read(reader().limit(1), b"\\.\n\n", piece).expect_err("the end marker is too long");
        assert_eq!(error.to_string(), "COPY row 1: the row is longer than the limit of 1 bytes", "{piece}");
        assert!(read(reader().limit(2), b"\\.\n\n", piece).expect("the end marker").is_empty(), "{piece}");
    }
}

#[test]
fn a_row_that_cannot_be_written_leaves_the_buffer_unchanged() {
    let names = ["id", "note"];
    let mut writer =
        CopyWriter::with_names(&CopyOptions::text().header(Header::Present), &names).expect("valid");
    let error = writer.row(&(1i32, "a\0b")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "COPY row 1, column 1 \"note\": the text contains a NUL character, which the server rejects"
    );
    assert_eq!(writer.data(), b"");
    let error = writer.row(&(1i32,)).unwrap_err();
    assert_eq!(error.to_string(), "COPY row 1: expected 2 fields, found 1");
    writer.row(&(1i32, "a")).expect("written");
    assert!(writer.row(&(2i32, "a\0b")).is_err());
    assert_eq!(writer.data(), b"id\tnote\n1\ta\n");
    writer.clear();
    assert!(writer.row(&(2i32,)).is_err());
    assert_eq!(writer.data(), b"");
    writer.finish().expect("finished");
    assert!(matches!(writer.row(&(2i32, "b")).unwrap_err().kind(), CopyErrorKind::Ended));
    assert!(writer.finish().is_err());
    assert_eq!((writer.rows(), writer.data()), (1, &b""[..]));

    let mut binary = CopyWriter::new(&CopyOptions::binary()).expect("valid");
    let wide = vec![0i16; 32_768];
    let error = binary.row(&wide).unwrap_err();
    assert!(matches!(error.kind(), CopyErrorKind::TooManyFields), "{error}");
    assert_eq!(binary.data(), b"");
    assert_eq!(CopyValues::count(&wide), 32_768);
}

#[test]
fn a_row_of_too_many_fields_is_an_error_before_the_row_ends() {
    let data = vec![b'\t'; 40_000];
    let error = reader(&CopyOptions::text()).row(&mut &data[..]).map(|row| row.is_some()).unwrap_err();
    assert!(matches!(error.kind(), CopyErrorKind::TooManyFields), "{error}");
}

// ---- Random rows ----------------------------------------------------------------------------------------------------

fn all(is_all: bool) -> ForceColumns {
    if is_all { ForceColumns::All } else { ForceColumns::None }
}

/// Options whose special characters often appear in the values.
fn any_options() -> impl Strategy<Value = CopyOptions> {
    let byte = prop::sample::select(&b",;\t|\"'\\x1-a\x01~"[..]);
    let byte = move || prop::option::of(byte.clone());
    let null =
        prop::option::of(prop::sample::select(&["", "\\N", "NULL", "a", "1", "\\t", "\\\\", "x1"][..]));
    let default = prop::option::of(prop::sample::select(&["", "\\D", "a", "x1", "D"][..]));
    (0..3, byte(), byte(), byte(), (null, default), any::<(bool, bool)>())
        .prop_map(|(format, delimiter, quote, escape, (null, default), (header, force))| {
            let mut options = match format {
                0 => CopyOptions::text(),
                1 => CopyOptions::csv(),
                _ => CopyOptions::binary(),
            };
            if format < 2 {
                options = delimiter.into_iter().fold(options, CopyOptions::delimiter);
                options = null.into_iter().fold(options, |options, null| options.null(null));
                options =
                    default.into_iter().fold(options, |options, default| options.default_string(default));
                options = options.header(if header { Header::Match } else { Header::Absent });
            }
            if format == 1 {
                options = quote.into_iter().fold(options, CopyOptions::quote);
                options = escape.into_iter().fold(options, CopyOptions::escape);
                options = options.force_quote(all(force));
            }
            options
        })
        .prop_filter("the server rejects the options", |options| options.check().is_ok())
}

fn any_rows() -> impl Strategy<Value = (Vec<String>, Vec<Vec<Option<String>>>)> {
    let text = || prop_oneof!["[,;\t|\"'\\\\x1a\n\r.N\x01-]{0,6}", "[^\0]{0,8}", "NULL|\\\\N|\\\\\\.|x1|"];
    (1usize..5).prop_flat_map(move |columns| {
        let names = prop::collection::vec(text(), columns);
        let row = prop::collection::vec(prop::option::of(text()), columns);
        (names, prop::collection::vec(row, 0..6))
    })
}

/// Whether the error is the error for an empty string that would be read as NULL or as the default value of the column.
fn is_empty_marker(error: &CopyError) -> bool {
    matches!(error.kind(), CopyErrorKind::EmptyIsNull | CopyErrorKind::EmptyIsDefault)
}

proptest! {
    #[test]
    fn written_rows_are_read_as_the_same_rows(
        options in any_options(), (names, rows) in any_rows(), piece in 1usize..64,
        (force_null, force_not_null) in any::<(bool, bool)>(),
    ) {
        let is_csv = options.format() == RowFormat::Csv;
        let null = written(&options.clone().header(Header::Absent), &[], &[&[&None::<i32>]]);
        let null = str::from_utf8(&null).ok().and_then(|line| line.strip_suffix('\n')).map(String::from);
        let options = if is_csv {
            options.force_null(all(force_null)).force_not_null(all(force_not_null))
        } else {
            options
        };
        let mut writer = CopyWriter::with_names(&options, &names).expect("the options are valid");
        let mut expected: Vec<Vec<Option<String>>> = Vec::new();
        for row in &rows {
            match writer.row(row) {
                Ok(()) => expected.push(row.iter().map(|value| match value {
                    None if is_csv && force_not_null => null.clone(),
                    value if is_csv && force_null && *value == null => None,
                    value => value.clone(),
                }).collect()),
                Err(error) => prop_assert!(is_empty_marker(&error), "{}", error),
            }
        }
        if let Err(error) = writer.finish() {
            // If no row has been written, `finish` writes the header. An empty name in the header is an error if the string that the
            // option NULL or DEFAULT sets is also empty.
            prop_assert!(is_empty_marker(&error), "{}", error);
            return Ok(());
        }
        let reader = CopyReader::with_names(&options, &names).expect("the options are valid");
        let found = read(reader, writer.data(), piece).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let bytes = |row: &Vec<Option<String>>| -> Row {
            row.iter().map(|field| field.as_ref().map(|text| text.as_bytes().to_vec())).collect()
        };
        prop_assert_eq!(found, expected.iter().map(bytes).collect::<Vec<_>>());
    }

    #[test]
    fn written_values_are_read_as_the_same_values(
        options in any_options(), number: i64, float: f64, bytes: Vec<u8>, flag: Option<bool>, piece in 1usize..64,
    ) {
        let names = ["a", "b", "c", "d"];
        let mut writer = CopyWriter::with_names(&options, &names).expect("the options are valid");
        let row = (number, float, &bytes[..], flag);
        writer.row(&row).expect("written");
        writer.finish().expect("finished");
        let types = [oid::INT8, oid::FLOAT8, oid::BYTEA, oid::BOOL];
        let mut reader = CopyReader::with_names(&options, &names).expect("valid").types(&types);
        let mut found = None;
        for mut piece in writer.data().chunks(piece) {
            while let Some(row) = reader.row(&mut piece).expect("well-formed") {
                found = Some(row.decode::<(i64, f64, Vec<u8>, Option<bool>)>().expect("decoded"));
            }
        }
        prop_assert!(reader.finish().expect("finished").is_none());
        let (number_read, float_read, bytes_read, flag_read) = found.expect("a row");
        prop_assert_eq!((number_read, bytes_read, flag_read), (number, bytes, flag));
        prop_assert_eq!(float_read.to_bits(), float.to_bits());
    }

    #[test]
    fn any_bytes_in_any_pieces_have_the_same_result(
        options in any_options(), data in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(prop::sample::select(&b",;\t|\"'\\x1a\n\r.N"[..]), 0..60),
            prop::collection::vec(prop::sample::select(&b"\0\0\0\0\x01\x02\x04\xff"[..]), 0..60)
                .prop_map(|rows| [&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], &rows].concat()),
        ],
        piece in 1usize..16,
    ) {
        let with = || CopyReader::with_names(&options, &["a", "b"]).expect("valid").limit(100);
        let whole = read(with(), &data, data.len().max(1));
        let pieces = read(with(), &data, piece);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (Err(whole), Err(pieces)) => {
                prop_assert_eq!(whole.row(), pieces.row(), "{} / {}", whole, pieces);
            }
            (whole, pieces) => prop_assert!(false, "{:?} / {:?}", whole, pieces),
        }
    }
}

#[test]
fn a_decoded_row_is_the_same_in_any_pieces_and_after_an_error() {
    let mut writer = CopyWriter::new(&CopyOptions::binary()).expect("valid");
    for number in 0..100i32 {
        let note = (number % 3 != 0).then(|| "x".repeat(number as usize));
        writer.row(&(number, note.as_deref(), f64::from(number) / 4.0)).expect("written");
    }
    writer.row(&(1i32, "a", true)).expect("written");
    writer.row(&(2i32, "b", 2.5f64)).expect("written");
    writer.finish().expect("finished");
    for piece in [1, 7, 64, 1000, writer.data().len()] {
        let mut reader = CopyReader::new(&CopyOptions::binary()).expect("valid");
        let (mut rows, mut errors) = (Vec::new(), Vec::new());
        for mut piece in writer.data().chunks(piece) {
            loop {
                match reader.decode::<(i32, Option<&str>, f64)>(&mut piece) {
                    Ok(Some((number, note, quarter))) => rows.push((number, note.map(str::len), quarter)),
                    Ok(None) => break,
                    Err(error) => errors.push(error.to_string()),
                }
            }
        }
        assert!(reader.finish().expect("the trailer").is_none());
        assert_eq!(reader.rows(), 102);
        assert_eq!(rows.len(), 101);
        for (index, row) in rows.iter().take(100).enumerate() {
            let note = (index % 3 != 0).then_some(index);
            assert_eq!(*row, (index as i32, note, index as f64 / 4.0), "pieces of {piece} bytes");
        }
        assert_eq!(rows[100], (2, Some(1), 2.5));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("COPY row 101, column 2"), "{errors:?}");
    }

    let mut short = CopyReader::new(&CopyOptions::binary()).expect("valid");
    let mut data = writer.data();
    let error = short.decode::<(i32, &str)>(&mut data).unwrap_err();
    assert_eq!(error.to_string(), "COPY row 1: the row has 3 fields but the tuple has 2 members");
}

#[test]
fn every_negative_length_except_null_is_an_error_of_decode() {
    for (length, expected) in [
        (-1, Ok((None, 7))),
        (-2, Err("COPY row 2, column 0: expected a length or a number of fields, found -2")),
        (i32::MIN, Err("COPY row 2, column 0: expected a length or a number of fields, found -2147483648")),
        (i32::MAX, Err("COPY row 2, column 0: the row is longer than the limit of 1073741823 bytes")),
        (1000, Err("incomplete")),
    ] {
        let mut writer = CopyWriter::new(&CopyOptions::binary()).expect("valid");
        writer.row(&("a", 7i32)).expect("written");
        let mut data = writer.data().to_vec();
        data.extend(2i16.to_be_bytes());
        data.extend(i32::to_be_bytes(length));
        data.extend([0, 0, 0, 4, 0, 0, 0, 7]);
        // The second row is read on the fast path. The third type belongs to no column.
        let mut reader = CopyReader::new(&CopyOptions::binary()).expect("valid").types(&[25, 23, 23]);
        let mut piece = &data[..];
        let first = reader.decode::<(Option<&str>, i32)>(&mut piece).expect("valid");
        assert_eq!(first, Some((Some("a"), 7)));
        let second = reader.decode::<(Option<&str>, i32)>(&mut piece);
        let second = second.map_err(|error| error.to_string());
        let second = second.and_then(|row| row.ok_or_else(|| String::from("incomplete")));
        assert_eq!(second.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }
}

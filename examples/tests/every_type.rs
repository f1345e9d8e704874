//! Values of every PostgreSQL type that a client can meet, in text format and in binary format, on real servers.
//!
//! Each value makes two round trips. In the first, the client sends the text and receives the binary form. In the second, the client sends
//! this binary form and receives text. psql must print the same text. If the type has a Rust type, the value is also read as this Rust type
//! from both formats, and sent back.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::process::{Command, Stdio};

use pg_stream_tokio::{Connection, FormatCode, PgProtocol, Portal, Statement, connect};
use pg_wire::backend::Backend;
use pg_wire::value::{FromValue, Sql, SqlParam};
use pg_wire::{Bindable, Bound, Columns, Oid};
use postgres_types::{ToSql, Type};
use support::Server;

/// The tested values: the name of each type, and a value in the text form that the server prints.
const VALUES: &[(&str, &str)] = &[
    ("bool", "t"),
    ("\"char\"", "r"),
    ("\"char\"", ""),
    ("int2", "-32768"),
    ("int4", "-2147483648"),
    ("int8", "9223372036854775807"),
    ("oid", "4294967295"),
    ("xid", "4294967295"),
    ("cid", "123"),
    ("xid8", "18446744073709551615"),
    ("pg_lsn", "16/B374D848"),
    ("tid", "(4294967295,65535)"),
    ("regclass", "pg_class"),
    ("regtype", "integer"),
    ("oidvector", "1 2 3"),
    // Missing: an empty vector. The server sends its binary form, but rejects the same bytes as a parameter.
    ("int2vector", "-1 2"),
    ("pg_snapshot", "10:20:10,14,15"),
    ("float4", "0.1"),
    ("float4", "-Infinity"),
    ("float8", "1.7976931348623157e+308"),
    ("float8", "NaN"),
    ("float8", "-0"),
    ("numeric", "NaN"),
    ("numeric", "Infinity"),
    ("numeric", "-Infinity"),
    ("numeric", "0.000"),
    ("numeric", "-123456789012345678901234567890.000000000123456789"),
    ("money", "-$92,233,720,368,547,758.08"),
    ("text", "caf\u{e9} 'q' \\ \u{1f418}"),
    ("text", ""),
    ("varchar", "a"),
    ("bpchar", "a  "),
    ("name", "Name"),
    ("refcursor", "c1"),
    ("bytea", "\\x00ff5c27"),
    ("bytea", "\\x"),
    ("date", "4714-11-24 BC"),
    ("date", "5874897-12-31"),
    ("date", "infinity"),
    ("date", "-infinity"),
    ("time", "24:00:00"),
    ("time", "10:20:30.000001"),
    ("timetz", "10:20:30.5-15:59:59"),
    ("timestamp", "4714-11-24 00:00:00 BC"),
    ("timestamp", "294276-12-31 23:59:59.999999"),
    ("timestamp", "infinity"),
    ("timestamptz", "-infinity"),
    ("interval", "-1 years -2 mons +3 days -04:05:06.789"),
    ("interval", "00:00:00"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("bit(3)", "101"),
    ("varbit", "1010101010"),
    ("varbit", ""),
    ("inet", "::1/64"),
    ("inet", "10.0.0.1"),
    ("cidr", "10.1.0.0/16"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("point", "(1.5,-2)"),
    ("line", "{1,-1,0}"),
    ("lseg", "[(0,0),(1,1)]"),
    ("box", "(1,1),(0,0)"),
    ("path", "[(0,0),(1,1),(2,0)]"),
    ("path", "((0,0),(1,1),(2,0))"),
    ("polygon", "((0,0),(1,1),(2,0))"),
    ("circle", "<(1,2),3>"),
    ("int4range", "[1,5)"),
    ("int4range", "empty"),
    ("int8range", "(,)"),
    ("numrange", "(1.5,NaN]"),
    ("daterange", "[2024-02-29,infinity)"),
    ("tsrange", "[\"2024-02-29 00:00:00\",)"),
    ("int4multirange", "{[1,2),[5,9)}"),
    ("int4multirange", "{}"),
    ("json", "{\"a\" : 1}"),
    ("jsonb", "{\"a\": [1, null, 1.50]}"),
    ("jsonpath", "$.\"a\"[*]?(@ > 1)"),
    ("tsvector", "'a':1A 'b':2,3B 'c d'"),
    ("tsvector", ""),
    ("tsquery", "'a':*A & !( 'b' | 'c' )"),
    ("xml", "<a b=\"1\">x</a>"),
    ("int4[]", "{{1,NULL},{3,4}}"),
    ("int4[]", "[2:3]={1,2}"),
    ("int4[]", "{}"),
    ("text[]", "{a,NULL,\"\",\"NULL\",\"b \\\"c\\\\\"}"),
    ("numeric[]", "{NaN,1.50}"),
    ("every_type.whole", "7"),
    ("every_type.mood", "very happy"),
    ("every_type.mood[]", "{sad,NULL,\"very happy\"}"),
    ("every_type.pair", "(1,\"a \"\"b\"\"\")"),
    ("every_type.pair", "(,)"),
    ("every_type.pair[]", "{\"(1,a)\",NULL}"),
];

/// SQL that creates the types in [`VALUES`] that are not built into PostgreSQL: a domain, an enum and a composite type.
const OWN_TYPES: &str = "set client_min_messages = warning;
    drop schema if exists every_type cascade;
    create schema every_type;
    create domain every_type.whole as int4 check (value >= 0);
    create type every_type.mood as enum ('sad', 'very happy');
    create type every_type.pair as (number int4, word text)";

/// Connects as a role that can create types.
async fn session(server: &Server) -> Result<Connection, Box<dyn Error>> {
    Ok(connect(&url(server).parse()?).await?.0)
}

fn url(server: &Server) -> String {
    server.by_socket().replace("scram:scram-secret@", "admin@")
}

/// Executes a statement that returns one value, with at most one parameter. Returns the type and the bytes of the value; `None` is NULL.
async fn value(
    conn: &mut Connection,
    sql: &str,
    parameter: Option<Bound<'_>>,
    format: FormatCode,
) -> Result<(Oid, Option<Vec<u8>>), Box<dyn Error>> {
    conn.parse(Statement::UNNAMED).query(sql).finish();
    let bind = conn.bind(Statement::UNNAMED, Portal::UNNAMED);
    let formats = [format];
    match parameter {
        Some(parameter) => bind.result_formats(&formats).finish((parameter,)),
        None => bind.result_formats(&formats).finish(()),
    };
    conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;
    let (mut type_oid, mut value) = (0, None);
    examples::until_ready(conn, |message| {
        match message {
            Backend::RowDescription(row) => {
                type_oid = row.fields.iter().next().map_or(0, |field| field.type_oid)
            }
            Backend::DataRow(row) => value = row.values.get(0)?.flatten().map(<[u8]>::to_vec),
            _ => {}
        }
        Ok(())
    })
    .await?;
    Ok((type_oid, value))
}

fn literal(type_name: &str, text: &str) -> String {
    format!("select '{}'::{type_name}", text.replace('\'', "''"))
}

/// Returns the line that psql prints for each of the [`VALUES`].
fn psql(server: &Server) -> Vec<String> {
    let script: String = VALUES.iter().map(|(type_name, text)| literal(type_name, text) + ";\n").collect();
    let mut psql = Command::new("psql")
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", &url(server)])
        .env("PGCLIENTENCODING", "UTF8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql starts");
    // The script and the output have less than 64 KB each, the size of a pipe. With more, psql could wait until its output is read, while
    // this test waits until psql reads the script.
    psql.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("psql reads");
    let output = psql.wait_with_output().expect("psql ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(String::from).collect()
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn every_type_is_sent_and_received_in_both_formats() -> Result<(), Box<dyn Error>> {
    for server in Server::both() {
        let mut conn = session(&server).await?;
        conn.query(OWN_TYPES).flush().await?;
        examples::until_ready(&mut conn, |_| Ok(())).await?;
        let printed = psql(&server);
        let given: Vec<&str> = VALUES.iter().map(|(_, text)| *text).collect();
        assert_eq!(printed, given, "the output of psql {}", server.major);
        for (type_name, text) in VALUES {
            let name = format!("{}: {type_name} {text:?}", server.major);
            let wrong = |error: Box<dyn Error>| format!("{name}: {error}");
            let constant = literal(type_name, text);
            let (_, received) = value(&mut conn, &constant, None, FormatCode::Text).await.map_err(wrong)?;
            assert_eq!(received.as_deref(), Some(text.as_bytes()), "{name}: text");
            let (_, binary) = value(&mut conn, &constant, None, FormatCode::Binary).await.map_err(wrong)?;
            let binary = binary.ok_or_else(|| format!("{name}: NULL"))?;

            let parameter = format!("select $1::{type_name}");
            let as_text = Bound::text(text.as_bytes());
            let (_, back) =
                value(&mut conn, &parameter, Some(as_text), FormatCode::Binary).await.map_err(wrong)?;
            assert_eq!(back, Some(binary.clone()), "{name}: text to binary");
            let as_binary = Bound::binary(&binary);
            let (_, back) =
                value(&mut conn, &parameter, Some(as_binary), FormatCode::Text).await.map_err(wrong)?;
            assert_eq!(back.as_deref(), Some(text.as_bytes()), "{name}: binary to text");
        }
        conn.query("drop schema every_type cascade").flush().await?;
        examples::until_ready(&mut conn, |_| Ok(())).await?;
        conn.terminate().close().await?;
    }
    Ok(())
}

/// Receives a value in both formats and reads it as `T`. Then sends the `T` back, and checks that the server returns the original text.
async fn as_rust<T>(
    conn: &mut Connection,
    type_name: &str,
    text: &str,
    expected: T,
) -> Result<(), Box<dyn Error>>
where
    T: for<'a> FromValue<'a> + Bindable + PartialEq + Debug,
{
    for format in [FormatCode::Text, FormatCode::Binary] {
        let (type_oid, bytes) = value(conn, &literal(type_name, text), None, format).await?;
        let column = pg_wire::value::Column { type_oid, format };
        assert_eq!(T::from_value(bytes.as_deref(), column)?, expected, "{type_name} {format:?}");
        expected.check_type(type_oid).expect("the type fits");
    }
    let parameter = format!("select $1::{type_name}");
    let (_, back) = value(conn, &parameter, Some(expected.bound()), FormatCode::Text).await?;
    assert_eq!(back.as_deref(), Some(text.as_bytes()), "{type_name}");
    Ok(())
}

/// Does the same as [`as_rust`] for a type that implements the traits of `postgres-types`. These traits support binary format only.
async fn by_postgres_types<T>(
    conn: &mut Connection,
    type_: Type,
    text: &str,
    expected: T,
) -> Result<(), Box<dyn Error>>
where
    T: for<'a> postgres_types::FromSql<'a> + ToSql + PartialEq + Debug,
{
    let name = type_.name().to_owned();
    let type_name = if name.starts_with('_') { format!("{}[]", name.trim_start_matches('_')) } else { name };
    let (type_oid, bytes) = value(conn, &literal(&type_name, text), None, FormatCode::Binary).await?;
    let column = pg_wire::value::Column { type_oid, format: FormatCode::Binary };
    assert_eq!(Sql::<T>::from_value(bytes.as_deref(), column)?, Sql(expected), "{type_name}");
    let Sql(read) = Sql::<T>::from_value(bytes.as_deref(), column)?;
    let parameter = SqlParam::new(&read, &type_)?;
    let sql = format!("select $1::{type_name}");
    let (_, back) = value(conn, &sql, Some(parameter.bound()), FormatCode::Text).await?;
    assert_eq!(back.as_deref(), Some(text.as_bytes()), "{type_name}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn values_with_a_rust_type_are_the_same_in_both_formats() -> Result<(), Box<dyn Error>> {
    for server in Server::both() {
        let conn = &mut session(&server).await?;
        as_rust(conn, "bool", "f", false).await?;
        as_rust(conn, "int2", "-32768", i16::MIN).await?;
        as_rust(conn, "int4", "2147483647", i32::MAX).await?;
        as_rust(conn, "int8", "-9223372036854775808", i64::MIN).await?;
        as_rust(conn, "oid", "4294967295", u32::MAX).await?;
        as_rust(conn, "float4", "-Infinity", f32::NEG_INFINITY).await?;
        as_rust(conn, "float8", "1.7976931348623157e+308", f64::MAX).await?;
        as_rust(conn, "text", "caf\u{e9}", String::from("caf\u{e9}")).await?;
        as_rust(conn, "bytea", "\\x00ff", vec![0u8, 255]).await?;
        as_rust(conn, "float8", "0.1", Some(0.1f64)).await?;

        use postgres_types::{Date, Timestamp};
        let infinite = Date::<chrono::NaiveDate>::PosInfinity;
        by_postgres_types(conn, Type::DATE, "infinity", infinite).await?;
        let never = Timestamp::<chrono::NaiveDateTime>::NegInfinity;
        by_postgres_types(conn, Type::TIMESTAMP, "-infinity", never).await?;
        let leap = chrono::NaiveDate::from_ymd_opt(2024, 2, 29).ok_or("a date")?;
        by_postgres_types(conn, Type::DATE, "2024-02-29", leap).await?;
        by_postgres_types(conn, Type::NUMERIC, "-12.50", rust_decimal::Decimal::new(-1250, 2)).await?;
        by_postgres_types(conn, Type::INT4_ARRAY, "{1,NULL,3}", vec![Some(1), None, Some(3)]).await?;
        by_postgres_types(conn, Type::TEXT_ARRAY, "{}", Vec::<String>::new()).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_composite_is_read_as_text_and_a_wrong_type_names_its_column() -> Result<(), Box<dyn Error>> {
    for server in Server::both() {
        let mut conn = session(&server).await?;
        conn.query("select row(1, 'a') as pair, now() as at").flush().await?;
        let mut columns = Columns::default();
        let mut rows = 0;
        examples::until_ready(&mut conn, |message| {
            columns.follow(&message)?;
            if let Backend::DataRow(row) = message {
                assert_eq!(columns.value::<&str>(&row, 0)?, "(1,a)");
                let error = columns.value::<i64>(&row, 1).expect_err("a timestamp");
                assert_eq!(error.to_string(), "column 1 \"at\" of type timestamptz: the value is not an i64");
                rows += 1;
            }
            Ok(())
        })
        .await?;
        assert_eq!(rows, 1);
        conn.terminate().close().await?;
    }
    Ok(())
}

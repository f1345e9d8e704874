//! Values of every PostgreSQL type that a client can meet, in text format and in binary format, on real servers.
//!
//! Each value makes two round trips. In the first, the client sends the value in text format and receives it in binary format. In the
//! second, the client sends these binary bytes and receives text. The test makes three further checks:
//!
//! - psql must print the same text.
//! - `pg-wire` must convert the text to the received binary bytes.
//! - If a Rust type exists for the PostgreSQL type, the test reads the value as the Rust type from both formats, and sends it back.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::marker::PhantomData;
use std::process::{Command, Stdio};

use pg_stream_tokio::{Connection, FormatCode, PgProtocol, Portal, Statement, connect};
use pg_wire::backend::Backend;
use pg_wire::value::{FromValue, Mismatch, Sql, SqlParam};
use pg_wire::{Bindable, Bound, Columns, Oid};
use postgres_types::{Field, Kind, ToSql, Type};
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
    ("regproc", "-"),
    ("oidvector", "1 2 3"),
    // An empty `int2vector` is not tested: the server sends the value's binary form, but rejects the same bytes as a parameter.
    ("int2vector", "-1 2"),
    ("pg_snapshot", "10:20:10,14,15"),
    ("pg_snapshot", "10:10:"),
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
    ("numeric", "0.00010000"),
    ("numeric", "-10000"),
    ("numeric", "123456"),
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
    ("date", "0001-01-01"),
    ("date", "0001-12-31 BC"),
    ("date", "1900-03-01"),
    ("time", "24:00:00"),
    ("time", "10:20:30.000001"),
    ("time", "00:00:00"),
    ("timetz", "10:20:30.5-15:59:59"),
    ("timetz", "24:00:00+05:30"),
    ("timetz", "00:00:00.1+00:00:01"),
    ("timestamp", "4714-11-24 00:00:00 BC"),
    ("timestamp", "294276-12-31 23:59:59.999999"),
    ("timestamp", "infinity"),
    ("timestamp", "0005-02-28 12:34:56.7 BC"),
    ("timestamptz", "-infinity"),
    ("interval", "-1 years -2 mons +3 days -04:05:06.789"),
    ("interval", "00:00:00"),
    ("interval", "-00:00:00.000001"),
    ("interval", "1 year"),
    ("interval", "178956970 years 7 mons 2147483647 days 2562047788:00:54.775806"),
    ("interval", "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("bit(3)", "101"),
    ("varbit", "1010101010"),
    ("varbit", ""),
    ("inet", "::1/64"),
    ("inet", "10.0.0.1"),
    ("inet", "::ffff:1.2.3.4/120"),
    ("inet", "10.0.0.1/0"),
    ("cidr", "10.1.0.0/16"),
    ("cidr", "2001:db8::/32"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("point", "(1.5,-2)"),
    ("point", "(1e-300,NaN)"),
    ("line", "{1,-1,0}"),
    ("lseg", "[(0,0),(1,1)]"),
    ("box", "(1,1),(0,0)"),
    ("path", "[(0,0),(1,1),(2,0)]"),
    ("path", "((0,0),(1,1),(2,0))"),
    ("polygon", "((0,0),(1,1),(2,0))"),
    ("circle", "<(1,2),3>"),
    ("circle", "<(0,-0),Infinity>"),
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
    ("tsvector", r"'\\':1 'it''s':16383C"),
    ("tsquery", "'a':*A & !( 'b' | 'c' )"),
    ("xml", "<a b=\"1\">x</a>"),
    ("int4[]", "{{1,NULL},{3,4}}"),
    ("int4[]", "[2:3]={1,2}"),
    ("int4[]", "{}"),
    ("int4[]", "[-1:0][5:6]={{1,2},{3,NULL}}"),
    ("int4[]", "{{{{{{1}}}}}}"),
    ("text[]", "{a,NULL,\"\",\"NULL\",\"b \\\"c\\\\\"}"),
    ("text[]", "{\" \",\"a,b\",\"{}\",null_,\"\t\",a'b}"),
    ("numeric[]", "{NaN,1.50}"),
    ("bool[]", "{t,f,NULL}"),
    ("bytea[]", r#"{"\\x00ff","\\x"}"#),
    ("timestamptz[]", "{infinity,NULL}"),
    ("int2vector[]", r#"{"1 2",3}"#),
    ("box[]", "{(1,1),(0,0);(2,2),(0,0)}"),
    ("int4range[]", r#"{"[1,5)",empty,NULL}"#),
    ("int4multirange[]", r#"{"{[1,5),[7,9)}","{}"}"#),
    ("tsmultirange", r#"{(,"2024-02-29 00:00:00"),["2024-03-01 00:00:00",infinity]}"#),
    ("every_type.whole", "7"),
    ("every_type.mood", "very happy"),
    ("every_type.mood[]", "{sad,NULL,\"very happy\"}"),
    ("every_type.pair", "(1,\"a \"\"b\"\"\")"),
    ("every_type.pair", "(,)"),
    ("every_type.pair[]", "{\"(1,a)\",NULL}"),
    ("every_type.moods", r#"{sad,"very happy"}"#),
    ("every_type.moods[]", r#"{"{sad,\"very happy\"}",NULL}"#),
    ("every_type.boxes", "{(1,1),(0,0);(2,2),(0,0)}"),
    ("every_type.boxes[]", "{\"{(1,1),(0,0)}\";\"{(2,2),(0,0);(3,3),(0,0)}\"}"),
    ("every_type.words", r#"["","a""\\,")"#),
    ("every_type.words[]", r#"{"[a,b)","(,)"}"#),
    ("every_type.word", "()"),
    ("every_type.word", "(x)"),
    ("every_type.wide", "(,,,,)"),
    (
        "every_type.wide",
        r#"(7,"{sad,NULL}","(1,""a \\\\ """""")","{""(1,a)"",NULL,""(,)""}","[a,""b """""")")"#,
    ),
    ("every_type.wide[]", r#"[0:1]={"(,{},,,empty)","(,[0:0]={sad},\"(,\"\"\"\")\",,)"}"#),
    ("every_type.hstore", r#""a"=>"b \"\\", "NULL"=>NULL"#),
    ("every_type.hstore", ""),
    ("every_type.hstore[]", r#"{"\"a\"=>\"b\"",NULL}"#),
    ("every_type.citext", "Word"),
    ("every_type.ltree", "a.b"),
    ("every_type.lquery", "a.*{2,}"),
];

/// SQL that creates the types in [`VALUES`] that are not built into PostgreSQL: domains, an enum, composite types and a range type.
const OWN_TYPES: &str = "set client_min_messages = warning;
    drop schema if exists every_type cascade;
    create schema every_type;
    create extension hstore schema every_type;
    create extension citext schema every_type;
    create extension ltree schema every_type;
    create domain every_type.whole as int4 check (value >= 0);
    create type every_type.mood as enum ('sad', 'very happy');
    create type every_type.pair as (number int4, word text);
    create domain every_type.moods as every_type.mood[];
    create domain every_type.square as box;
    create domain every_type.boxes as every_type.square[];
    create type every_type.words as range (subtype = text);
    create type every_type.word as (word text);
    create type every_type.wide as (
        whole every_type.whole, moods every_type.moods, pair every_type.pair, pairs every_type.pair[], words every_type.words)";

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
    // The script and the output must each be shorter than 64 KB, the size of a pipe. Otherwise psql could wait until this test reads the
    // output, while this test waits until psql reads the script.
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
            let (type_oid, received) =
                value(&mut conn, &constant, None, FormatCode::Text).await.map_err(wrong)?;
            assert_eq!(received.as_deref(), Some(text.as_bytes()), "{name}: text");
            let (_, binary) = value(&mut conn, &constant, None, FormatCode::Binary).await.map_err(wrong)?;
            let binary = binary.ok_or_else(|| format!("{name}: NULL"))?;
            let of = definition(&mut conn, type_oid).await.map_err(wrong)?;
            check_conversion(&of, type_name, text.as_bytes(), &binary).map_err(wrong)?;

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

/// The bytes that `FromSql` receives. `Sql` passes the value `infinity` of a date or a timestamp only to a type whose full name contains
/// the module `postgres_types::special`. The full name of [`Raw`] contains this module, because the type parameter is a `Timestamp` of this
/// module.
#[derive(Debug, PartialEq)]
struct Bytes<T>(Vec<u8>, PhantomData<T>);

type Raw = Bytes<postgres_types::Timestamp<()>>;

impl<'a> postgres_types::FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Bytes(raw.to_vec(), PhantomData))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Reads the definition of a type from the catalogs.
async fn definition(conn: &mut Connection, type_oid: Oid) -> Result<Type, Box<dyn Error>> {
    if let Some(known) = Type::from_oid(type_oid) {
        return Ok(known);
    }
    let sql = format!(
        "select concat_ws(' ', typtype = 'b' and typcategory = 'A', typtype, typname, nullif(typbasetype, 0), nullif(typelem, 0),
            (select rngsubtype from pg_range where {type_oid} in (rngtypid, rngmultitypid)),
            (select string_agg(atttypid::text, ' ' order by attnum) from pg_attribute
             where attrelid = nullif(typrelid, 0) and attnum > 0 and not attisdropped))
         from pg_type where oid = {type_oid}"
    );
    let (_, text) = value(conn, &sql, None, FormatCode::Text).await?;
    let text = String::from_utf8(text.ok_or("no such type")?)?;
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or("too few words");
    let (is_array, kind, name) = (word()?, word()?, word()?);
    let mut members = Vec::new();
    for member in words {
        members.push(Box::pin(definition(conn, member.parse()?)).await?);
    }
    let first = || members.first().cloned().ok_or("no member");
    let kind = match (kind, is_array) {
        ("b", "t") => Kind::Array(first()?),
        ("b", _) => Kind::Simple,
        ("d", _) => Kind::Domain(first()?),
        ("e", _) => Kind::Enum(Vec::new()),
        ("r", _) => Kind::Range(first()?),
        ("m", _) => Kind::Multirange(first()?),
        ("c", _) => {
            let field = |member: Type| Field::new(member.name().into(), member);
            Kind::Composite(members.into_iter().map(field).collect())
        }
        (kind, _) => return Err(format!("typtype {kind:?}").into()),
    };
    Ok(Type::new(name.into(), type_oid, kind, "every_type".into()))
}

/// Types in [`VALUES`] whose text form `pg-wire` cannot convert to the binary form.
const ONLY_BINARY: &[&str] = &["money", "regclass", "regtype", "tsquery"];

/// Checks that `pg-wire` converts a text to the binary form that the server sends. For a type in [`ONLY_BINARY`], checks the error.
fn check_conversion(of: &Type, type_name: &str, text: &[u8], binary: &[u8]) -> Result<(), Box<dyn Error>> {
    let name = || format!("{type_name} {:?}", String::from_utf8_lossy(text));
    let from_text = Sql::<Raw>::read(Some(text), FormatCode::Text, of);
    if ONLY_BINARY.contains(&type_name) {
        let error = from_text.expect_err(type_name).to_string();
        assert!(error.starts_with(&format!("the text form of type {type_name} ")), "{error}");
        assert!(error.ends_with(": request binary format"), "{error}");
    } else if text.starts_with(b"24:00:00") {
        assert!(matches!(from_text, Err(Mismatch::Range { .. })), "{}", name());
    } else {
        let Sql(Bytes(converted, _)) = from_text.map_err(|error| format!("{}: {error}", name()))?;
        assert_eq!(converted, binary, "{}", name());
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_text_that_cannot_be_a_parameter_is_converted_to_the_binary_form() -> Result<(), Box<dyn Error>> {
    let selected = ["''::int2vector", "''::oidvector", "pg_sleep(0)", "null::int4[]"];
    for server in Server::both() {
        let conn = &mut session(&server).await?;
        for sql in selected.map(|value| format!("select {value}")) {
            let (type_oid, text) = value(conn, &sql, None, FormatCode::Text).await?;
            let (_, binary) = value(conn, &sql, None, FormatCode::Binary).await?;
            let of = definition(conn, type_oid).await?;
            match text.zip(binary) {
                Some((text, binary)) => check_conversion(&of, &sql, &text, &binary)?,
                None => assert_eq!(Sql::<Option<Raw>>::read(None, FormatCode::Text, &of)?, Sql(None)),
            }
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_setting_that_changes_the_text_form_never_changes_the_value() -> Result<(), Box<dyn Error>> {
    let values = [
        "'2024-03-02'::date",
        "'0044-03-15 BC'::date",
        "'2024-03-02 04:05:06.7'::timestamp",
        "'infinity'::timestamp",
        "'2024-03-02 04:05:06+00'::timestamptz",
        "'1800-03-02 04:05:06+00'::timestamptz",
        "tstzrange('2024-03-02', '2024-04-02')",
        "'10:20:30'::time",
        "'10:20:30-03:30'::timetz",
        "'0'::interval",
        "'10:05:06'::interval",
        "'-4:05:06'::interval",
        "'-10:05:06.5'::interval",
        "'1 year 2 mons'::interval",
        "'-3 days -4:05:06'::interval",
        "array['1 mon -1 day'::interval, null]",
        "'\\x00275c41ff'::bytea",
    ];
    for server in Server::both() {
        let conn = &mut session(&server).await?;
        let (mut read, mut rejected) = (0, 0);
        for (date_style, interval_style, zone, bytea) in [
            ("ISO, MDY", "postgres", "Asia/Kathmandu", "hex"),
            ("ISO, DMY", "sql_standard", "America/New_York", "escape"),
            ("SQL, DMY", "postgres_verbose", "Europe/Paris", "escape"),
            ("SQL, MDY", "iso_8601", "UTC", "hex"),
            ("Postgres, DMY", "sql_standard", "Pacific/Apia", "hex"),
            ("Postgres, MDY", "postgres", "Africa/Monrovia", "hex"),
            ("German", "postgres", "Europe/Berlin", "hex"),
        ] {
            let settings = format!(
                "set datestyle = {date_style}; set intervalstyle = {interval_style}; set timezone = '{zone}'; set bytea_output = {bytea}"
            );
            conn.query(&settings).flush().await?;
            examples::until_ready(conn, |_| Ok(())).await?;
            for constant in values {
                let sql = format!("select {constant}");
                let (type_oid, text) = value(conn, &sql, None, FormatCode::Text).await?;
                let (_, binary) = value(conn, &sql, None, FormatCode::Binary).await?;
                let of = Type::from_oid(type_oid).ok_or("a type that is built in")?;
                match Sql::<Raw>::read(text.as_deref(), FormatCode::Text, &of) {
                    Ok(Sql(Bytes(converted, _))) => {
                        assert_eq!(Some(converted), binary, "{constant} {settings}");
                        read += 1;
                    }
                    Err(Mismatch::Text { .. }) => rejected += 1,
                    Err(error) => panic!("{constant} {settings}: {error}"),
                }
            }
        }
        assert!(read >= 50 && rejected >= 30, "{}: {read} were read, {rejected} were rejected", server.major);
    }
    Ok(())
}

/// Reads a value from both formats as `T`, sends the `T` back, and checks that the server prints the same text.
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

/// Makes the same checks as [`as_rust`], but encodes and decodes with the crate `postgres-types`.
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
    for format in [FormatCode::Text, FormatCode::Binary] {
        let (type_oid, bytes) = value(conn, &literal(&type_name, text), None, format).await?;
        let column = pg_wire::value::Column { type_oid, format };
        let Sql(read) = Sql::<T>::from_value(bytes.as_deref(), column)?;
        assert_eq!(read, expected, "{type_name} {format:?}");
    }
    let parameter = SqlParam::new(&expected, &type_)?;
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

//! Tests of values that real servers send in text format and in binary format. The values are decoded with the server's RowDescription.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::error::Error;

use pg_stream_tokio::{Connection, FormatCode, PgProtocol, Portal, Statement, oid};
use pg_wire::Columns;
use pg_wire::backend::Backend;
use pg_wire::value::RowError;
use support::Server;

const FORMATS: [FormatCode; 2] = [FormatCode::Text, FormatCode::Binary];

async fn session(server: &Server) -> Result<Connection, Box<dyn Error>> {
    Ok(pg_stream_tokio::connect(&server.by_tcp().parse()?).await?.0)
}

/// Executes the prepared statement `values`, and passes each row of its result to `each`.
async fn rows(
    conn: &mut Connection,
    format: FormatCode,
    mut each: impl FnMut(&mut Columns, &pg_wire::backend::DataRow<'_>),
) -> Result<(), Box<dyn Error>> {
    conn.bind(Statement("values"), Portal::UNNAMED).result_formats(&[format]).finish(());
    conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;
    let mut columns = Columns::default();
    examples::until_ready(conn, |message| {
        columns.follow(&message)?;
        if let Backend::DataRow(row) = message {
            each(&mut columns, &row);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn numbers_and_texts_are_the_same_in_both_formats() -> Result<(), Box<dyn Error>> {
    for server in Server::both() {
        let mut conn = session(&server).await?;
        let sql = "SELECT '123'::xid, '4294967295'::cid, '18446744073709551615'::xid8, '16/B374D848'::pg_lsn,
                   0.1::float4, 'r'::\"char\", 'c1'::refcursor, '{\"a\": 1}'::jsonb, pg_catalog.set_config('geqo', 'on', true),
                   '$.a'::jsonpath, ''::\"char\"";
        conn.parse(Statement("values")).query(sql).finish();
        for format in FORMATS {
            rows(&mut conn, format, |columns, row| {
                let (xid, cid, xid8, lsn, float, char, cursor, json, text, path, empty): (
                    u32,
                    i64,
                    u64,
                    i64,
                    f64,
                    &str,
                    &str,
                    &str,
                    &str,
                    &str,
                    &str,
                ) = columns.decode(row).unwrap_or_else(|error| panic!("{format:?}: {error}"));
                assert_eq!((xid, cid, xid8, lsn), (123, 4_294_967_295, u64::MAX, 0x16_b374_d848));
                assert_eq!(float.to_bits(), f64::from(0.1f32).to_bits(), "{format:?}");
                assert_eq!(
                    (char, cursor, json, text, path, empty),
                    ("r", "c1", "{\"a\": 1}", "on", "$.\"a\"", "")
                );
            })
            .await?;
        }
        conn.terminate().close().await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn object_ids_are_numbers_in_binary_and_enums_are_strings() -> Result<(), Box<dyn Error>> {
    for server in Server::both() {
        let mut conn = session(&server).await?;
        conn.query("CREATE TYPE pg_temp.mood AS ENUM ('sad', 'happy')").flush().await?;
        examples::until_ready(&mut conn, |_| Ok(())).await?;
        let sql = "SELECT 'pg_class'::regclass, 'int4'::regtype, 'happy'::pg_temp.mood, pg_sleep(0)";
        conn.parse(Statement("values")).query(sql).finish();
        rows(&mut conn, FormatCode::Binary, |columns, row| {
            assert!(columns.decode::<(u32, u32, &str, &str)>(row).is_err(), "the enum is not known");
            columns.set_type(2, oid::TEXT).expect("there is a column 2");
            let read: (u32, u32, &str, &str) = columns.decode(row).expect("the enum is text");
            assert_eq!(read, (1259, oid::INT4, "happy", ""));
        })
        .await?;
        rows(&mut conn, FormatCode::Text, |columns, row| {
            let read: (&str, &str, &str, &str) = columns.decode(row).expect("text");
            assert_eq!(read, ("pg_class", "integer", "happy", ""));
            let error = columns.value::<u32>(row, 0).expect_err("a name");
            assert_eq!(error.to_string(), "column 0 \"regclass\" of type regclass: the value is not a u32");
        })
        .await?;
        conn.terminate().close().await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn the_description_of_a_statement_is_not_used_for_its_rows() -> Result<(), Box<dyn Error>> {
    for server in Server::both() {
        let mut conn = session(&server).await?;
        conn.parse(Statement("values")).query("SELECT 825373492").finish();
        conn.describe_statement(Statement("values"));
        conn.bind(Statement("values"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]).finish(());
        conn.execute(Portal::UNNAMED, 0).sync().flush().await?;
        let mut columns = Columns::default();
        let mut seen = 0;
        examples::until_ready(&mut conn, |message| {
            columns.follow(&message)?;
            if let Backend::DataRow(row) = message {
                assert!(matches!(columns.decode::<(i32,)>(&row), Err(RowError::Formats)));
                columns.set_formats(&[FormatCode::Binary])?;
                assert_eq!(columns.decode::<(i32,)>(&row)?, (825_373_492,));
                seen += 1;
            }
            Ok(())
        })
        .await?;
        assert_eq!(seen, 1);
        conn.terminate().close().await?;
    }
    Ok(())
}

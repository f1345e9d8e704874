//! Checks of a product, which is a server, a pooler or a proxy. Each check sends requests, and returns the answers as lines of text.

use pg_wire::copy::{CopyOptions, CopyReader, CopyWriter};
use pg_wire::{Error, FormatCode, MessageCode, PgProtocol, Portal, Statement, oid};

use crate::adapters::Adapter;
use crate::line::{Log, line, reply};
use crate::product::{Client, Product};

/// The length of the value in the check `large_value`, in bytes.
const LARGE: usize = 1 << 20;

/// The answer line of a check that was skipped. A check is skipped if its requests would make the product unusable for other clients.
pub(crate) const NOT_SENT: &str = "not sent";

/// Runs all checks. Returns the name and the answers of each check.
pub(crate) async fn all<A: Adapter>(product: &Product) -> Vec<(&'static str, Log)> {
    let mut client = Client::<A>::open(product).await;
    let mut found = vec![("login", login(&client))];
    macro_rules! checks {
        ($($check:ident,)*) => {$({
            if client.conn.read_fault().is_some() || client.conn.write_fault().is_some() {
                client = Client::open(product).await;
            }
            let log = match product.survives(stringify!($check)) {
                true => $check(product, &mut client).await,
                false => vec![NOT_SENT.into()],
            };
            found.push((stringify!($check), log));
        })*};
    }
    checks! {
        simple_query, several_statements, prepared_statement, pipeline, large_value, copy_in, copy_out, failed_copy, errors, transaction,
        cancel, notice, another_client, end,
    }
    found
}

/// Check of the login: the authentication method, two parameters, and whether the server has sent a cancel key.
fn login<A: Adapter>(client: &Client<A>) -> Log {
    let session = &client.session;
    let parameter = |name| session.parameters.get(name).unwrap_or("not reported");
    vec![
        format!("authenticated by {}", session.auth_method),
        format!("encoding {}", parameter("client_encoding")),
        format!("standard strings {}", parameter("standard_conforming_strings")),
        format!("cancel key {}", session.cancel_key.is_some()),
    ]
}

/// Runs SQL by the simple protocol.
async fn run<A: Adapter>(client: &mut Client<A>, sql: &str, log: &mut Log) {
    match client.conn.query(sql).flush().await {
        Ok(()) => reply(&mut client.conn, log).await,
        Err(error) => log.push(format!("failed: {error}")),
    }
}

async fn simple_query<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    run(client, "select 40 + 2 as answer, null as nothing", &mut log).await;
    run(client, "", &mut log).await;
    log
}

async fn several_statements<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    run(client, "select 1 as one; select 'two' as two", &mut log).await;
    log
}

/// Sends the messages in the connection's outbox, and receives the replies up to ReadyForQuery.
async fn sent<A: Adapter>(client: &mut Client<A>, log: &mut Log) {
    match client.conn.flush().await {
        Ok(()) => reply(&mut client.conn, log).await,
        Err(error) => log.push(format!("failed: {error}")),
    }
}

/// Check of a prepared statement, first with parameters and results in binary format, then in text format.
async fn prepared_statement<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    let statement = Statement("both_formats");
    let conn = &mut client.conn;
    conn.parse(statement)
        .query("select $1 + 1 as next, $2 || '!' as loud")
        .param_types(&[oid::INT4, oid::TEXT])
        .finish();
    conn.describe_statement(statement);
    conn.bind(statement, Portal::UNNAMED).result_formats(&[FormatCode::Binary]).execute((41i32, "a"));
    conn.bind(statement, Portal::UNNAMED).result_formats(&[FormatCode::Text]).execute(("41", "b"));
    conn.close_statement(statement).sync();
    sent(client, &mut log).await;
    log
}

/// Check of pipelines. The first pipeline has 500 executions and one Sync. The second pipeline has three statements, each with its own
/// Sync, and the second statement fails.
async fn pipeline<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    let conn = &mut client.conn;
    conn.parse(Statement::UNNAMED).query("select $1 * 2").param_types(&[oid::INT4]).finish();
    for number in 1..=500i32 {
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute((number,));
    }
    conn.sync();
    let mut lines = Log::new();
    sent(client, &mut lines).await;
    let rows: Vec<i32> = lines.iter().filter_map(|line| line.strip_prefix("row ")?.parse().ok()).collect();
    lines.retain(|line| !line.starts_with("row ") && line != "BindComplete" && line != "complete SELECT 1");
    log.push(format!("{} rows, sum {}", rows.len(), rows.iter().sum::<i32>()));
    log.extend(lines);
    for divisor in [1i32, 0, 2] {
        let conn = &mut client.conn;
        conn.parse(Statement::UNNAMED).query("select 10 / $1").param_types(&[oid::INT4]).finish();
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync((divisor,));
    }
    sent(client, &mut log).await;
    for _ in 0..2 {
        reply(&mut client.conn, &mut log).await;
    }
    log
}

/// Check of a large parameter and a large result.
async fn large_value<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    let value = "x".repeat(LARGE);
    let conn = &mut client.conn;
    conn.parse(Statement::UNNAMED).query("select length($1), $1").param_types(&[oid::TEXT]).finish();
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync((value.as_str(),));
    sent(client, &mut log).await;
    log
}

/// Check of a COPY of rows to a table.
pub(crate) async fn copy_in<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    run(client, "begin; create temp table copied (n int, t text) on commit drop", &mut log).await;
    log.push(rows(copied_in(client).await));
    run(client, "select count(*), sum(n), max(t) from copied", &mut log).await;
    run(client, "commit", &mut log).await;
    log
}

/// Check of a COPY that sends the rows of a query to the client.
async fn copy_out<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    vec![rows(copied_out(client).await)]
}

fn rows(copied: Result<u64, Error>) -> String {
    match copied {
        Ok(rows) => format!("{rows} rows copied"),
        Err(error) => format!("failed: {error}"),
    }
}

/// Returns a text with characters that a COPY escapes.
fn escaped(number: i32) -> String {
    format!("line\t{number}\\")
}

async fn copied_in<A: Adapter>(client: &mut Client<A>) -> Result<u64, Error> {
    let options = CopyOptions::text();
    let sql = format!("copy copied from stdin ({})", options.copy_from());
    let mut copy = client.conn.copy_in(&sql, CopyWriter::new(&options)?).await?;
    for number in 1..=2000 {
        copy.row(&(number, escaped(number).as_str())).await?;
    }
    Ok(copy.finish().await?.rows)
}

async fn copied_out<A: Adapter>(client: &mut Client<A>) -> Result<u64, Error> {
    let options = CopyOptions::text();
    let query = r"select n, e'line\t' || n || e'\\' from generate_series(1, 2000) n";
    let sql = format!("copy ({query}) to stdout ({})", options.copy_to());
    let mut numbers = 1..;
    let copy = client.conn.copy_out(&sql, CopyReader::new(&options)?).await?;
    let end = copy
        .for_each(|row| {
            let number = numbers.next().expect("an endless range");
            assert_eq!(row.decode::<(i32, &str)>()?, (number, escaped(number).as_str()));
            Ok::<_, Error>(())
        })
        .await?;
    Ok(end.rows)
}

/// Check of two COPY operations that fail: the client aborts the first, and sends a malformed row in the second.
async fn failed_copy<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    for end in ["abort", "row"] {
        let sql = "create temp table copied (n int) on commit drop; copy copied from stdin";
        client.conn.query(sql).flush().await.expect("sent");
        loop {
            let frame = client.conn.recv().await.expect("a message");
            log.extend(line(frame));
            match frame.code {
                MessageCode::COPY_IN_RESPONSE => break,
                MessageCode::READY_FOR_QUERY => return log,
                _ => {}
            }
        }
        match end {
            "abort" => client.conn.copy_data(b"1\n").copy_fail("no more rows"),
            _ => client.conn.copy_data(b"no number\n").copy_done(),
        };
        sent(client, &mut log).await;
    }
    log
}

/// Check of errors in the simple and in the extended protocol. After each error, the connection must work.
async fn errors<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    run(client, "select 1; select 1/0; select 2", &mut log).await;
    let conn = &mut client.conn;
    conn.parse(Statement::UNNAMED).query("select 'first'").finish();
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute(());
    conn.parse(Statement::UNNAMED).query("selec").finish();
    // The server skips the messages between the error and the Sync.
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync(());
    sent(client, &mut log).await;
    run(client, "select 'recovered'", &mut log).await;
    log
}

/// Check of a transaction that fails and is rolled back.
async fn transaction<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    for sql in [
        "begin",
        "create table products_rolled_back ()",
        "select 1/0",
        "select 1",
        "rollback",
        "select to_regclass('products_rolled_back')",
    ] {
        run(client, sql, &mut log).await;
    }
    log
}

/// Check of a statement that is cancelled while it runs.
async fn cancel<A: Adapter>(product: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    client.conn.query(product.asleep()).flush().await.expect("sent");
    // The statement sends this notice before it sleeps. So the statement is running when the notice arrives.
    log.extend(line(client.conn.recv().await.expect("a message")));
    if let Some(target) = client.session.cancel_target() {
        // The result of `cancel` shows only whether the request was sent. The statement's error below shows whether the statement was
        // cancelled. PGlite rejects the connection of the cancel request, so an error is accepted for PGlite.
        let cancelled = A::cancel(&client.config, &target).await;
        assert!(cancelled.is_ok() || product.is_pglite(), "{}: {cancelled:?}", product.name);
    }
    reply(&mut client.conn, &mut log).await;
    run(client, "select 'recovered'", &mut log).await;
    log
}

async fn notice<A: Adapter>(_: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    run(client, "do $$ begin raise notice 'noted'; end $$", &mut log).await;
    log
}

/// Check of a prepared statement that a client executes after another client has begun a transaction.
///
/// A pooler may give the server connection with the statement to the other client. The first client then gets a server connection without
/// the statement. Tests that run at the same time also use the poolers, so the other client may get a different server connection. The
/// check therefore tries up to three other clients.
async fn another_client<A: Adapter>(product: &Product, client: &mut Client<A>) -> Log {
    let mut log = Log::new();
    // Each run uses a different name, because a pooler may keep the statement of an earlier run on a server connection.
    let name = format!("kept_{}_{}", A::NAME, std::process::id());
    let statement = Statement(&name);
    client.conn.parse(statement).query("select 'kept'").finish();
    client.conn.parse(Statement::UNNAMED).query("select pg_backend_pid()").finish();
    client.conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync(());
    sent(client, &mut log).await;
    // Removes the row with the process id of the server connection from the log, because this id differs in each run.
    let used = log.iter().position(|line| line.starts_with("row ")).map(|at| log.remove(at));
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = match Client::<A>::try_open(product).await {
            Ok(other) => other,
            Err(_) => {
                log.push("a second connection is rejected".into());
                break;
            }
        };
        let mut begun = Log::new();
        run(&mut other, "begin; select pg_backend_pid()", &mut begun).await;
        let is_used = used.as_ref().is_some_and(|used| begun.contains(used));
        others.push(other);
        if is_used {
            break;
        }
    }
    client.conn.bind(statement, Portal::UNNAMED).execute(()).close_statement(statement).sync();
    sent(client, &mut log).await;
    for other in &mut others {
        let _ = other.conn.terminate().close().await;
    }
    log.into_iter().map(|line| line.replace(&name, "kept")).collect()
}

/// Check of the end of the session: the server closes the connection after Terminate.
async fn end<A: Adapter>(product: &Product, client: &mut Client<A>) -> Log {
    client.conn.terminate().flush().await.expect("sent");
    vec![match A::within(product.patience(), client.conn.recv()).await {
        None => "the peer waits until the client closes the connection".into(),
        Some(Ok(frame)) => format!("{:?}", line(frame)),
        Some(Err(error)) => error.to_string(),
    }]
}

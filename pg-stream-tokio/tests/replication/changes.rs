//! Tests of changes of every kind, in every protocol version of pgoutput.

use std::collections::{BTreeMap, BTreeSet};

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::pg_wire::backend::CopyData;
use pg_stream_tokio::pg_wire::oid;
use pg_stream_tokio::pg_wire::replication::command::*;
use pg_stream_tokio::pg_wire::replication::pgoutput::*;
use pg_stream_tokio::pg_wire::replication::reply::CreatedSlot;
use pg_stream_tokio::pg_wire::replication::*;

use crate::conversation::*;
use crate::support::{Server, query};

/// Options with which a replication stream is started.
#[derive(Clone, Copy, Debug)]
struct Mode {
    version: u32,
    streaming: StreamingOption,
    two_phase: bool,
    binary: bool,
}

/// Options with which the tests run. PostgreSQL 15 supports only versions 1 to 3 of the protocol of pgoutput.
const MODES: [Mode; 5] = [
    Mode { version: 1, streaming: StreamingOption::Off, two_phase: false, binary: false },
    Mode { version: 1, streaming: StreamingOption::Off, two_phase: false, binary: true },
    Mode { version: 2, streaming: StreamingOption::On, two_phase: false, binary: false },
    Mode { version: 3, streaming: StreamingOption::On, two_phase: true, binary: true },
    Mode { version: 4, streaming: StreamingOption::Parallel, two_phase: true, binary: false },
];

/// A stream of changes, and the kinds of changes received so far.
struct Changes {
    conn: Conn,
    decoder: Decoder,
    mode: Mode,
    relations: BTreeMap<u32, String>,
    types: BTreeMap<u32, String>,
    kinds: BTreeSet<u8>,
    /// Received changes, each as a line of text.
    lines: Vec<String>,
    /// Number of messages whose encoding was compared with the received bytes.
    count: usize,
}

impl Changes {
    /// Receives changes up to and including the first change for which `last` returns true.
    async fn until(&mut self, last: impl Fn(&Change<'_>) -> bool) {
        loop {
            let frame = copied(&mut self.conn).await.expect("the copy goes on");
            let data = frame.frame().decode::<CopyData<'_>>().expect("data").data.0;
            let message = PrimaryMessage::decode(data).expect("well-formed");
            let mut again = Vec::new();
            message.encode(&mut again).expect("valid");
            assert_eq!(again, data);
            let PrimaryMessage::XLogData(wal) = message else { continue };
            let scope = self.decoder.scope();
            let change = self.decoder.decode(wal.data.0).expect("well-formed");
            change.validate().expect("well-formed");
            again.clear();
            change.encode(&mut again).expect("valid");
            assert_eq!(again.escape_ascii().to_string(), wal.data.0.escape_ascii().to_string());
            self.count += 1;
            self.cut(wal.data.0, scope);
            self.note(wal.data.0[0], &change, scope);
            if last(&change) {
                return;
            }
        }
    }

    /// Checks that no prefix of a message is a valid message. Exception: a StreamAbort (`A`) is valid without its optional position.
    fn cut(&self, data: &[u8], scope: Scope) {
        // The rows of large transactions are skipped, because thousands of them are alike.
        if data.len() > 200 || self.count > 2000 {
            return;
        }
        for end in 0..data.len() {
            let part = Change::decode(&data[..end], scope).and_then(|change| change.validate());
            assert!(part.is_err() || (data[0] == b'A' && end == 9), "{end} of {}", data.escape_ascii());
        }
    }

    fn note(&mut self, kind: u8, change: &Change<'_>, scope: Scope) {
        assert!(self.kinds.insert(kind) || self.kinds.contains(&kind));
        let has_xid =
            matches!(kind, b'I' | b'U' | b'D' | b'T' | b'R' | b'Y' | b'M') && scope == Scope::InStream;
        assert_eq!(change.xid_in_stream().is_some(), has_xid, "{change:?}");
        match change {
            Change::Relation(relation) => {
                self.relations.insert(relation.relation, relation.name.to_string());
                let columns = relation.columns.iter().map(|column| {
                    let key = if column.is_key() { "*" } else { "" };
                    let name = oid::name(column.type_oid).map(String::from);
                    let name = name.unwrap_or_else(|| self.types[&column.type_oid].clone());
                    format!("{key}{} {name}", column.name)
                });
                let columns: Vec<_> = columns.collect();
                let identity = char::from(relation.replica_identity.byte());
                self.lines.push(format!(
                    "relation {}.{} {identity} ({})",
                    relation.namespace,
                    relation.name,
                    columns.join(", ")
                ));
            }
            Change::Type(type_) => {
                self.types.insert(type_.type_oid, type_.name.to_string());
            }
            Change::Insert(insert) => {
                self.lines.push(format!("insert {} {:?}", self.relations[&insert.relation], insert.new));
            }
            Change::Update(update) => {
                let old = update.old.map_or_else(String::new, |old| format!("{old:?} "));
                let line = format!("update {} {old}{:?}", self.relations[&update.relation], update.new);
                self.lines.push(line);
            }
            Change::Delete(delete) => {
                self.lines.push(format!("delete {} {:?}", self.relations[&delete.relation], delete.old));
            }
            Change::Truncate(truncate) => {
                let names: Vec<_> = truncate.relations.iter().map(|oid| &*self.relations[&oid]).collect();
                self.lines.push(format!("truncate {} {}", names.join(" "), truncate.flags));
            }
            Change::LogicalMessage(message) => {
                let content = message.content.0.escape_ascii();
                self.lines.push(format!(
                    "message {} {content} {}",
                    message.prefix,
                    message.is_transactional()
                ));
            }
            Change::Origin(origin) => self.lines.push(format!("origin {} {}", origin.name, origin.commit)),
            Change::StreamAbort(abort) => {
                let parallel = self.mode.streaming == StreamingOption::Parallel;
                assert_eq!(abort.aborted.is_some(), parallel, "{abort:?}");
                let whole = if abort.xid == abort.subxid { "transaction" } else { "subtransaction" };
                self.lines.push(format!("abort of the {whole}"));
            }
            Change::BeginPrepare(begin) => self.lines.push(format!("begin prepare {}", begin.gid)),
            Change::Prepare(prepare) => self.lines.push(format!("prepare {}", prepare.gid)),
            Change::StreamPrepare(prepare) => self.lines.push(format!("stream prepare {}", prepare.gid)),
            Change::CommitPrepared(commit) => self.lines.push(format!("commit prepared {}", commit.gid)),
            Change::RollbackPrepared(rollback) => {
                self.lines.push(format!("rollback prepared {}", rollback.gid))
            }
            Change::Unknown(unknown) => panic!("{unknown:?}"),
            _ => {}
        }
    }

    #[track_caller]
    fn has(&self, line: &str) {
        assert!(self.lines.iter().any(|given| given == line), "{line}\nis not in\n{}", self.lines.join("\n"));
    }
}

/// Creates the tables for a test in the schema `name`, and a publication of these tables.
async fn set_up(session: &mut Conn, name: &str) {
    for sql in [
        format!("drop schema if exists {name} cascade"),
        format!("create schema {name}"),
        format!("set search_path to {name}"),
        "create type mood as enum ('happy', 'so-so')".into(),
        "create table by_key (id int primary key, n int, t text)".into(),
        // A long value of the column `t` is stored outside of the row, uncompressed. If an update does not change `t`, the server does not
        // send the value again.
        "alter table by_key alter t set storage external".into(),
        "create table by_row (a int8, b text, m mood)".into(),
        "alter table by_row replica identity full".into(),
        "create table by_index (u uuid not null, v numeric(10, 2), w varchar(5))".into(),
        "create unique index by_index_u on by_index (u)".into(),
        "alter table by_index replica identity using index by_index_u".into(),
        "create table by_nothing (x bool, y bytea)".into(),
        "alter table by_nothing replica identity nothing".into(),
        "create table \"caf\u{e9} \"\"x\"\"\" (\"\u{fc}\" int primary key, r int4range, j jsonb, a text[])"
            .into(),
        format!(
            "create publication {name} for table by_key, by_row, by_index, by_nothing, \"caf\u{e9} \"\"x\"\"\" \
             with (publish = 'insert, update, delete, truncate')"
        ),
    ] {
        query(session, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// Runs statements in one transaction.
async fn transaction(session: &mut Conn, statements: &[&str]) {
    for sql in ["begin"].iter().chain(statements).chain(&["commit"]) {
        query(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn each(session: &mut Conn, statements: &[&str]) {
    for sql in statements {
        query(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// Flushes the WAL. The server decodes only flushed WAL, so without this call the changes of uncommitted transactions would not arrive.
async fn flush_log(session: &mut Conn) {
    each(
        session,
        &[
            "set synchronous_commit = on",
            "select pg_logical_emit_message(true, 'flush', 'x')",
            "set synchronous_commit = off",
        ],
    )
    .await;
}

async fn small_transactions(session: &mut Conn, origin: &str) {
    transaction(
        session,
        &[
            "insert into by_key values (1, null, repeat('long ', 2000)), (2, -7, 'short'), (3, 3, '')",
            "update by_key set n = 8 where id = 1",
            "update by_key set id = 20 where id = 2",
            "delete from by_key where id = 3",
            "insert into by_row values (1, 'caf\u{e9}', 'happy'), (2, null, 'so-so')",
            "update by_row set b = 'x' where a = 1",
            "delete from by_row where a = 2",
        ],
    )
    .await;
    transaction(
        session,
        &[
            "insert into by_index values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1.50, 'abc')",
            "update by_index set v = 2 where w = 'abc'",
            "update by_index set u = 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "delete from by_index",
            "insert into by_nothing values (true, '\\x00ff')",
            "insert into \"caf\u{e9} \"\"x\"\"\" values (1, '[1,5)', '{\"a\": 1}', '{x,null}')",
            "savepoint s",
            "insert into by_key values (99, 0, 'rolled back')",
            "rollback to s",
        ],
    )
    .await;
    each(
        session,
        &[
            "select pg_logical_emit_message(true, 'prefix', 'with')",
            "select pg_logical_emit_message(false, 'prefix', 'without')",
            "truncate by_index, by_nothing restart identity cascade",
            "truncate by_row",
            "alter table by_key add column added date",
            "insert into by_key values (4, 4, 'altered', '2026-11-26')",
        ],
    )
    .await;
    let (create, set) = (
        format!("select pg_replication_origin_create('{origin}')"),
        format!("select pg_replication_origin_session_setup('{origin}')"),
    );
    each(session, &[&create, &set, "begin"]).await;
    each(
        session,
        &[
            "select pg_replication_origin_xact_setup('0/ABC', now())",
            "insert into by_key values (5, 5, 'from elsewhere')",
            "commit",
            "select pg_replication_origin_session_reset()",
            &format!("select pg_replication_origin_drop('{origin}')"),
        ],
    )
    .await;
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn changes_of_every_kind_are_encoded_to_the_received_bytes() {
    alone_on_both(async |server| {
        for mode in MODES.into_iter().filter(|mode| mode.version < 4 || server.major >= 16) {
            eprintln!("{mode:?}");
            stream(server, mode).await;
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn changes_that_a_function_returns_are_decoded_too() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("function"), server };
        let name = slot.name.as_str();
        let mut session = session(server).await;
        set_up(&mut session, name).await;
        let create = format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')");
        each(
            &mut session,
            // The commit must be flushed, because the function that returns changes reads the WAL only up to the flushed position.
            &[&create, "set synchronous_commit = on", "insert into by_key values (1, 2, 'three')"],
        )
        .await;
        let publications = [name];
        let options: Vec<_> = PgOutput::new(1, &publications)
            .list()
            .flat_map(|(name, value)| [format!("'{name}'"), format!("'{value}'")])
            .collect();
        let sql = format!(
            "select encode(data, 'hex') from pg_logical_slot_get_binary_changes('{name}', null, null, {})",
            options.join(", ")
        );
        let mut decoder = Decoder::default();
        let mut inserted = Vec::new();
        for row in query(&mut session, &sql).await.expect("rows") {
            let data: Vec<u8> = (0..row.len() / 2)
                .map(|at| u8::from_str_radix(&row[2 * at..2 * at + 2], 16).expect("hexadecimal"))
                .collect();
            if let Change::Insert(insert) = decoder.decode(&data).expect("well-formed") {
                let values: Result<Vec<_>, _> = insert.new.iter().collect();
                let values = values.expect("well-formed");
                inserted.push((
                    values[0].value::<i32>(oid::INT4).expect("a number"),
                    values[2].value::<String>(oid::TEXT).expect("a string"),
                ));
            }
        }
        assert_eq!(inserted, [(1, "three".to_owned())]);
        each(&mut session, &[&format!("drop schema {name} cascade"), &format!("drop publication {name}")])
            .await;
    });
}

async fn stream(server: &Server, mode: Mode) {
    let name = own_name(&format!("v{}{}", mode.version, if mode.binary { "b" } else { "t" }));
    let slot = Slot { name, server };
    let name = slot.name.as_str();
    let mut session = session(server).await;
    set_up(&mut session, name).await;

    let mut conn = walsender(server, Replication::Logical).await;
    let create = CreateReplicationSlot::logical(name, "pgoutput").snapshot(Snapshot::Nothing);
    let create = if mode.two_phase { create.two_phase() } else { create };
    let reply = run(&mut conn, &create).await.expect("created");
    let start = reply.row::<CreatedSlot<'_>>(0).consistent_point;
    let publications = [name];
    let mut options = PgOutput::new(mode.version, &publications)
        .messages(true)
        .binary(mode.binary)
        .two_phase(mode.two_phase);
    if mode.streaming != StreamingOption::Off {
        options = options.streaming(mode.streaming);
    }
    if server.major >= 16 {
        options = options.origin(OriginFilter::Any);
    }
    run(&mut conn, &StartLogical::new(name, start).pgoutput(&options)).await.expect("started");
    let mut changes = Changes {
        conn,
        decoder: Decoder::default(),
        mode,
        relations: BTreeMap::new(),
        types: BTreeMap::new(),
        kinds: BTreeSet::new(),
        lines: Vec::new(),
        count: 0,
    };

    small_transactions(&mut session, name).await;
    large_transactions(server, &mut session, &mut changes).await;
    two_phase_commits(server, &mut session, &mut changes).await;
    each(&mut session, &["select pg_logical_emit_message(true, 'end', '')"]).await;
    changes
        .until(|change| matches!(change, Change::LogicalMessage(message) if message.prefix == "end"))
        .await;

    check(&changes, name);
    end_copy(&mut changes.conn).await;
    each(&mut session, &[&format!("drop schema {name} cascade"), &format!("drop publication {name}")]).await;
}

/// Runs transactions larger than `logical_decoding_work_mem`. If streaming is on, the server sends the changes of a transaction before the
/// transaction ends.
async fn large_transactions(server: &Server, session: &mut Conn, changes: &mut Changes) {
    const ROWS: &str =
        "insert into by_row select g, repeat('x', 50), 'happy' from generate_series(1, 2000) g";
    let streaming = changes.mode.streaming != StreamingOption::Off;
    let mut other = crate::conversation::session(server).await;
    for (inside, last) in [
        // `true`: the transaction also has a subtransaction, which is rolled back. With streaming, the server sends the subtransaction's
        // changes before the rollback.
        (true, "commit"),
        (false, "rollback"),
    ] {
        each(session, &["begin", ROWS]).await;
        if streaming {
            flush_log(&mut other).await;
            changes.until(|change| matches!(change, Change::StreamStop(_))).await;
        }
        if inside {
            // The inserts in `ROWS` must be the last statements. Their size makes the server send a block, which also contains the changes
            // of the earlier statements.
            each(session, &["savepoint s", "select pg_logical_emit_message(true, 'inside', 'x')"]).await;
            each(session, &["update by_row set b = 'y' where a = 7", "delete from by_row where a = 8"]).await;
            each(session, &[ROWS]).await;
            if streaming {
                flush_log(&mut other).await;
                changes.until(|change| matches!(change, Change::Delete(_))).await;
            }
            each(session, &["rollback to s", "truncate by_row"]).await;
        }
        each(session, &[last]).await;
        if streaming {
            let ended = |change: &Change<'_>| match change {
                Change::StreamCommit(_) => inside,
                Change::StreamAbort(abort) => !inside && abort.xid == abort.subxid,
                _ => false,
            };
            flush_log(&mut other).await;
            changes.until(ended).await;
        }
    }
}

async fn two_phase_commits(server: &Server, session: &mut Conn, changes: &mut Changes) {
    let name = own_name("gid");
    let prepare = format!("prepare transaction '{name}'");
    for (rows, decision) in [(2, "commit"), (2, "rollback"), (2000, "commit")] {
        let rows = format!("insert into by_row select g, 'two', 'so-so' from generate_series(1, {rows}) g");
        let decision = format!("{decision} prepared '{name}'");
        each(session, &["begin", &rows, &prepare]).await;
        if changes.mode.two_phase {
            let mut other = crate::conversation::session(server).await;
            flush_log(&mut other).await;
            changes.until(|change| matches!(change, Change::Prepare(_) | Change::StreamPrepare(_))).await;
        }
        each(session, &[&decision]).await;
    }
}

/// Checks that every expected kind of message and every expected change was received.
fn check(changes: &Changes, name: &str) {
    let Mode { streaming, two_phase, binary, .. } = changes.mode;
    let mut kinds = BTreeSet::from(*b"BCORYIUDTM");
    if streaming != StreamingOption::Off {
        kinds.extend(b"SEcA");
    }
    if two_phase {
        kinds.extend(b"bPKrp");
    }
    assert_eq!(changes.kinds, kinds, "the kinds of messages");
    eprintln!("{} messages", changes.count);

    for line in [
        "d (*id int4, n int4, t text)",
        "f (*a int8, *b text, *m mood)",
        "i (*u uuid, v numeric, w varchar)",
        "n (x bool, y bytea)",
        "d (*\u{fc} int4, r int4range, j jsonb, a _text)",
        "d (*id int4, n int4, t text, added date)",
    ] {
        let table = match &line[..6] {
            "d (*id" => "by_key",
            "f (*a " => "by_row",
            "i (*u " => "by_index",
            "n (x b" => "by_nothing",
            _ => "caf\u{e9} \"x\"",
        };
        changes.has(&format!("relation {name}.{table} {line}"));
    }
    for line in [
        "message prefix with true",
        "message prefix without false",
        "truncate by_index by_nothing 3",
        "truncate by_row 0",
    ] {
        changes.has(line);
    }
    changes.has(&format!("origin {name} 0/ABC"));
    if binary {
        changes.has(r#"insert by_key [b"\x00\x00\x00\x03", b"\x00\x00\x00\x03", b""]"#);
        changes.has(r#"update by_key [b"\x00\x00\x00\x01", b"\x00\x00\x00\x08", unchanged]"#);
        changes.has(r#"insert by_nothing [b"\x01", b"\x00\xff"]"#);
    } else {
        changes.has(r#"insert by_key ["3", "3", ""]"#);
        changes.has(r#"update by_key ["1", "8", unchanged]"#);
        changes.has(r#"update by_key Key(["2", NULL, NULL]) ["20", "-7", "short"]"#);
        changes.has(r#"delete by_key Key(["3", NULL, NULL])"#);
        changes.has(r#"update by_row Full(["1", "caf\xc3\xa9", "happy"]) ["1", "x", "happy"]"#);
        changes.has(r#"delete by_row Full(["2", NULL, "so-so"])"#);
        changes.has(r#"insert by_nothing ["t", "\\x00ff"]"#);
        changes.has("insert caf\u{e9} \"x\" [\"1\", \"[1,5)\", \"{\\\"a\\\": 1}\", \"{x,NULL}\"]");
        changes.has(r#"insert by_key ["4", "4", "altered", "2026-11-26"]"#);
    }
    assert!(!changes.lines.iter().any(|line| line.contains("rolled back")));
    if streaming != StreamingOption::Off {
        changes.has("abort of the subtransaction");
        changes.has("abort of the transaction");
        changes.has("message inside x true");
    }
    if two_phase {
        let gid = own_name("gid");
        for line in ["begin prepare", "prepare", "commit prepared", "rollback prepared", "stream prepare"] {
            changes.has(&format!("{line} {gid}"));
        }
    }
}

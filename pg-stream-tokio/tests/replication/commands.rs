//! Tests of each replication command and its reply.

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::pg_wire::SqlState;
use pg_stream_tokio::pg_wire::backend::{CopyData, ServerError};
use pg_stream_tokio::pg_wire::replication::command::*;
use pg_stream_tokio::pg_wire::replication::reply::*;
use pg_stream_tokio::pg_wire::replication::*;
use pg_stream_tokio::{Error, MessageCode, PgProtocol};

use crate::conversation::*;
use crate::support::query;

fn sqlstate(error: ServerError) -> SqlState {
    error.sqlstate().unwrap_or_else(|| panic!("{error}"))
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn identify_system_returns_the_systems_identity() {
    alone_on_both(async |server| {
        let database = database();
        for (replication, database) in
            [(Replication::Physical, None), (Replication::Logical, Some(database.as_str()))]
        {
            let mut conn = walsender(server, replication).await;
            let reply = run(&mut conn, &IdentifySystem).await.expect("a reply");
            let system: SystemIdentification<'_> = reply.row(0);
            assert_eq!((reply.len(), system.timeline, system.database), (1, 1, database));
            let (id, position) = (system.system_id.to_owned(), system.position);
            assert!(position.is_valid());

            let mut session = session(server).await;
            let catalog = query(&mut session, "select system_identifier from pg_control_system()").await;
            assert_eq!(catalog.expect("a row"), [id]);
            let sql = format!("select '{position}'::pg_lsn <= pg_current_wal_flush_lsn()");
            assert_eq!(query(&mut session, &sql).await.expect("a row"), ["t"]);
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn show_returns_the_value_of_a_parameter() {
    alone_on_both(async |server| {
        let mut conn = walsender(server, Replication::Physical).await;
        assert_eq!(run(&mut conn, &Show("wal_level")).await.expect("a reply").value(), "logical");
        assert_eq!(run(&mut conn, &Show("WAL_segment_size")).await.expect("a reply").value(), "16MB");
        let error = run(&mut conn, &Show("no such'parameter")).await.expect_err("no such parameter exists");
        assert_eq!(sqlstate(error), SqlState::UNDEFINED_OBJECT);
        let error = run(&mut conn, &Show("no.such")).await.expect_err("no such parameter exists");
        assert_eq!(sqlstate(error), SqlState::UNDEFINED_OBJECT);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn timeline_history_returns_the_history_file() {
    alone_on_both(async |server| {
        let mut conn = walsender(server, Replication::Physical).await;
        let error = run(&mut conn, &TimelineHistory(1)).await.expect_err("the first has no history");
        assert_eq!(sqlstate(error), SqlState::UNDEFINED_FILE);

        // The test writes the history file itself, for timeline 254, which the server will never reach.
        let mut session = session(server).await;
        let data = query(&mut session, "show data_directory").await.expect("a row").remove(0);
        let file = format!("{data}/pg_wal/000000FE.history");
        let sql = format!("copy (values ('1|0/16B2D50|caf\u{e9}'), ('253|1/0|')) to '{file}'");
        query(&mut session, &sql).await.expect("written");
        let reply = run(&mut conn, &TimelineHistory(254)).await;
        let program = format!("copy (select 1) to program 'cat > /dev/null; rm {file}'");
        query(&mut session, &program).await.expect("removed");
        let reply = reply.expect("a reply");
        let history_file: TimelineHistoryFile<'_> = reply.row(0);
        assert_eq!(history_file.name, "000000FE.history");
        assert_eq!(history_file.content, "1|0/16B2D50|caf\u{e9}\n253|1/0|\n".as_bytes());
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn physical_slots_are_created_read_and_dropped() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("physical"), server };
        let name = slot.name.as_str();
        let mut conn = walsender(server, Replication::Physical).await;
        let reply = run(&mut conn, &ReadReplicationSlot(name)).await.expect("a reply");
        let state: SlotState<'_> = reply.row(0);
        assert_eq!((state.kind, state.restart, state.timeline), (None, None, None));

        let create = CreateReplicationSlot::physical(name);
        let forms = [
            (create.to_string(), false),
            (create.reserve_wal().to_string(), true),
            (create.legacy().to_string(), false),
            (create.reserve_wal().legacy().to_string(), true),
            (create.temporary().reserve_wal().to_string(), true),
            (create.temporary().legacy().to_string(), false),
        ];
        for (form, reserved) in forms {
            let reply = run(&mut conn, &form).await.unwrap_or_else(|error| panic!("{form}: {error}"));
            let created: CreatedSlot<'_> = reply.row(0);
            assert_eq!((created.slot, created.snapshot, created.plugin), (name, None, None), "{form}");
            assert_eq!(created.consistent_point, Lsn::INVALID);

            let reply = run(&mut conn, &ReadReplicationSlot(name)).await.expect("a reply");
            let state: SlotState<'_> = reply.row(0);
            assert_eq!((state.kind, state.timeline), (Some("physical"), reserved.then_some(1)), "{form}");
            assert_eq!(state.restart.is_some_and(Lsn::is_valid), reserved, "{form}");

            let reply = run(&mut conn, &DropReplicationSlot { slot: name, wait: false }).await;
            assert_eq!(reply.expect("a reply").len(), 0);
        }
        let error = run(&mut conn, &CreateReplicationSlot::physical("it's (x)")).await;
        assert_eq!(sqlstate(error.expect_err("an invalid name")), SqlState::INVALID_NAME);
        // In the replication grammar, a name cannot contain a double quote. The server must report a syntax error and run no command.
        let error = run(&mut conn, &CreateReplicationSlot::physical("x\" PHYSICAL \"")).await;
        assert_eq!(sqlstate(error.expect_err("an invalid name")), SqlState::SYNTAX_ERROR);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn logical_slots_are_created_altered_and_dropped() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("logical"), server };
        let name = slot.name.as_str();
        let mut conn = walsender(server, Replication::Logical).await;
        let create = CreateReplicationSlot::logical(name, "pgoutput");
        let drop = DropReplicationSlot { slot: name, wait: true };
        let mut forms = vec![(create.to_string(), true)];
        for (snapshot, exported) in [(Snapshot::Export, true), (Snapshot::Nothing, false)] {
            let create = create.snapshot(snapshot);
            forms.push((create.to_string(), exported));
            forms.push((create.two_phase().to_string(), exported));
            forms.push((
                create.temporary().legacy().expect("the old syntax has this form").to_string(),
                exported,
            ));
            forms.push((
                create.two_phase().legacy().expect("the old syntax has this form").to_string(),
                exported,
            ));
            if server.major >= 17 {
                forms.push((create.failover().to_string(), exported));
            }
        }
        for (form, exported) in forms {
            let reply = run(&mut conn, &form).await.unwrap_or_else(|error| panic!("{form}: {error}"));
            let created: CreatedSlot<'_> = reply.row(0);
            assert_eq!((created.slot, created.plugin), (name, Some("pgoutput")), "{form}");
            assert_eq!(created.snapshot.is_some(), exported, "{form}");
            assert!(created.consistent_point.is_valid());
            let mut session = session(server).await;
            let sql = format!("select two_phase from pg_replication_slots where slot_name = '{name}'");
            let two_phase = query(&mut session, &sql).await.expect("a row");
            let expected = if form.contains("TWO_PHASE") { "t" } else { "f" };
            assert_eq!(two_phase, [expected], "{form}");
            assert_eq!(run(&mut conn, &drop).await.expect("a reply").len(), 0);
        }

        for form in [create.snapshot(Snapshot::Use).to_string(), {
            create.snapshot(Snapshot::Use).legacy().expect("the old syntax has this form").to_string()
        }] {
            run(&mut conn, &"begin isolation level repeatable read read only").await.expect("begun");
            let reply = run(&mut conn, &form).await.unwrap_or_else(|error| panic!("{form}: {error}"));
            assert_eq!(reply.row::<CreatedSlot<'_>>(0).snapshot, None);
            run(&mut conn, &"commit").await.expect("committed");
            run(&mut conn, &drop).await.expect("a reply");
        }

        if server.major >= 18 {
            run(&mut conn, &create).await.expect("a reply");
            let alter = AlterReplicationSlot::new(name);
            for (alter, two_phase, failover) in [
                (alter.failover(true), "f", "t"),
                (alter.two_phase(true).failover(false), "t", "f"),
                (alter.two_phase(false), "f", "f"),
            ] {
                assert_eq!(run(&mut conn, &alter).await.expect("a reply").len(), 0);
                let sql = format!(
                    "select two_phase || ' ' || failover from pg_replication_slots where slot_name = '{name}'"
                );
                let words = |on| if on == "t" { "true" } else { "false" };
                let rows = query(&mut session(server).await, &sql).await.expect("a row");
                assert_eq!(rows, [format!("{} {}", words(two_phase), words(failover))], "{alter}");
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_wal_is_streamed_and_the_server_answers_status_updates() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("wal"), server };
        let mut conn = walsender(server, Replication::Physical).await;
        run(&mut conn, &CreateReplicationSlot::physical(&slot.name).reserve_wal()).await.expect("created");
        let reply = run(&mut conn, &ReadReplicationSlot(&slot.name)).await.expect("a reply");
        let start = reply.row::<SlotState<'_>>(0).restart.expect("reserved");

        run(&mut conn, &StartPhysical::new(start).slot(&slot.name).timeline(1)).await.expect("started");
        let mut session = session(server).await;
        query(&mut session, "select pg_switch_wal()").await.expect("WAL");
        let mut next = start;
        let answer = loop {
            let frame = copied(&mut conn).await.expect("the copy goes on");
            let data = frame.frame().decode::<CopyData<'_>>().expect("data").data.0;
            let message = PrimaryMessage::decode(data).expect("well-formed");
            let mut again = Vec::new();
            message.encode(&mut again).expect("valid");
            assert_eq!(again, data);
            match message {
                PrimaryMessage::XLogData(wal) => {
                    assert_eq!(wal.start, next, "pieces follow each other");
                    let length = wal.data.0.len().try_into().expect("the length fits into the type");
                    next = next.checked_add(length).expect("below the end");
                    assert!(next <= wal.end && wal.time.unix_micros().is_some_and(|time| time > 0));
                    let time = std::time::SystemTime::now().into();
                    let status =
                        StandbyStatusUpdate { reply: true, ..StandbyStatusUpdate::durable(next, time) };
                    let feedback = HotStandbyFeedback {
                        time,
                        xmin: 0,
                        xmin_epoch: 0,
                        catalog_xmin: 0,
                        catalog_xmin_epoch: 0,
                    };
                    conn.put(&(status.in_copy_data(), feedback.in_copy_data())).flush().await.expect("sent");
                }
                // The server sends this keepalive in answer to the first status update, which requested a reply.
                PrimaryMessage::PrimaryKeepalive(keepalive) if next > start => break keepalive,
                PrimaryMessage::PrimaryKeepalive(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(answer.end >= start);
        let sql = format!(
            "select restart_lsn > '{start}' from pg_replication_slots where slot_name = '{}'",
            slot.name
        );
        assert_eq!(query(&mut session, &sql).await.expect("a row"), ["t"], "the report has arrived");
        end_copy(&mut conn).await;
        assert!(run(&mut conn, &IdentifySystem).await.is_ok(), "the connection takes commands again");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn servers_before_19_close_on_a_primary_status_request() {
    alone_on_both(async |server| {
        let mut conn = walsender(server, Replication::Physical).await;
        let reply = run(&mut conn, &IdentifySystem).await.expect("a reply");
        let start = reply.row::<SystemIdentification<'_>>(0).position;
        run(&mut conn, &StartPhysical::new(start)).await.expect("started");
        conn.put(&PrimaryStatusRequest { time: Timestamp(0) }.in_copy_data()).flush().await.expect("sent");
        let ended = loop {
            match conn.recv().await {
                Ok(frame) => assert_eq!(frame.code, MessageCode::COPY_DATA),
                Err(error) => break error,
            }
        };
        assert!(matches!(ended, Error::Closed { mid_message: false }), "{ended:?}");
    });
}

/// Reads a backup to its end. Returns the names of its archives, the manifest, and the progress of the last archive.
async fn read_backup(conn: &mut Conn) -> (Vec<String>, Vec<u8>, u64) {
    let (mut archives, mut manifest, mut in_manifest) = (Vec::new(), Vec::new(), false);
    let mut reported = 0;
    while let Some(frame) = copied(conn).await {
        let data = frame.frame().decode::<CopyData<'_>>().expect("data").data.0;
        let message = BackupMessage::decode(data).expect("well-formed");
        let mut again = Vec::new();
        message.encode(&mut again).expect("valid");
        assert_eq!(again, data);
        match message {
            BackupMessage::NewArchive(archive) => archives.push(archive.name.to_string()),
            BackupMessage::Manifest(_) => in_manifest = true,
            BackupMessage::BackupData(piece) if in_manifest => manifest.extend_from_slice(piece.data.0),
            BackupMessage::BackupData(_) => {}
            BackupMessage::Progress(progress) => reported = progress.done,
            other => panic!("{other:?}"),
        }
    }
    (archives, manifest, reported)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_base_backup_is_sent_with_every_option() {
    alone_on_both(async |server| {
        let mut conn = walsender(server, Replication::Physical).await;
        let backup = BaseBackup::new()
            .label("it's \"a\" backup")
            .checkpoint(Checkpoint::Fast)
            .progress(true)
            .wal(true)
            .wait(false)
            .compression("gzip", Some("level=1"))
            .max_rate(1_048_576)
            .tablespace_map(true)
            .verify_checksums(false)
            .manifest(ManifestOption::ForceEncode)
            .manifest_checksums("SHA256");
        let reply = run(&mut conn, &backup).await.unwrap_or_else(|error| panic!("{backup}: {error}"));
        let (start, tablespace): (BackupPosition, Tablespace<'_>) = (reply.row(0), reply.row(1));
        assert_eq!((reply.len(), start.timeline, tablespace.oid, tablespace.location), (2, 1, None, None));
        assert!(tablespace.kilobytes.is_some_and(|size| size > 1000));
        let (archives, manifest, done) = read_backup(&mut conn).await;
        assert!(done > 1_000_000, "the progress reaches the size of the tablespace");
        assert_eq!(archives, ["base.tar.gz"]);
        let manifest = String::from_utf8(manifest).expect("JSON");
        assert!(
            manifest.contains("Encoded-Path") && manifest.contains("SHA256"),
            "the manifest has the requested options"
        );
        let end = crate::conversation::reply(&mut conn).await.expect("a reply");
        let end: BackupPosition = end.row(0);
        assert!(end.position > start.position && end.timeline == 1);

        let backup = BaseBackup::new()
            .target("blackhole", None)
            .checkpoint(Checkpoint::Fast)
            .wait(false)
            .manifest(ManifestOption::No);
        let reply = run(&mut conn, &backup).await.unwrap_or_else(|error| panic!("{backup}: {error}"));
        assert_eq!(reply.row::<Tablespace<'_>>(1).kilobytes, None, "no estimate was requested");
        let (archives, manifest, _) = read_backup(&mut conn).await;
        assert_eq!((archives.as_slice(), manifest.len()), (&["base.tar".to_owned()][..], 0));
        crate::conversation::reply(&mut conn).await.expect("the end");

        let server_side = BaseBackup::new().target("server", Some("/nowhere/at/all"));
        let error = run(&mut conn, &server_side).await.expect_err("there is no such directory");
        assert_eq!(sqlstate(error), SqlState::UNDEFINED_FILE);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_incremental_backup_follows_an_uploaded_manifest() {
    alone_on_both(async |server| {
        let mut conn = walsender(server, Replication::Physical).await;
        if server.major < 17 {
            let error =
                run(&mut conn, &UploadManifest).await.expect_err("the command is newer than this server");
            assert_eq!(sqlstate(error), SqlState::FEATURE_NOT_SUPPORTED);
            return;
        }
        let mut session = session(server).await;
        query(&mut session, "alter system set summarize_wal = on").await.expect("set");
        query(&mut session, "select pg_reload_conf()").await.expect("reloaded");
        // An incremental backup needs an earlier backup that was made while `summarize_wal` was on.
        while run(&mut conn, &Show("summarize_wal")).await.expect("a reply").value() != "on" {
            tokio::task::yield_now().await;
        }
        let full = BaseBackup::new().checkpoint(Checkpoint::Fast).wait(false).manifest(ManifestOption::Yes);
        run(&mut conn, &full).await.expect("a reply");
        let (_, manifest, _) = read_backup(&mut conn).await;
        crate::conversation::reply(&mut conn).await.expect("the end");

        run(&mut conn, &UploadManifest).await.expect("a copy");
        for piece in manifest.chunks(10_000) {
            conn.copy_data(piece);
        }
        conn.copy_done().flush().await.expect("sent");
        crate::conversation::reply(&mut conn).await.expect("the manifest is accepted");
        run(&mut conn, &full.incremental(true)).await.expect("a reply");
        let (archives, incremental, _) = read_backup(&mut conn).await;
        assert_eq!(archives, ["base.tar"]);
        let incremental = String::from_utf8(incremental).expect("JSON");
        assert!(incremental.contains("INCREMENTAL."), "some files are relative to the first backup");
        crate::conversation::reply(&mut conn).await.expect("the end");
        query(&mut session, "alter system reset summarize_wal").await.expect("reset");
        query(&mut session, "select pg_reload_conf()").await.expect("reloaded");
    });
}

//! Tests of received WAL. `pg-receive` must write the same WAL segments as `pg_receivewal`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::{Cluster, Programs, Running, done};
use crate::support::{finish, until};

/// Returns a command that runs `pg-receive` with this slot. `pg-receive` writes the WAL to files in this directory.
fn ours(cluster: &Cluster, directory: &Path, slot: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pg-receive"));
    command.arg(cluster.url()).arg("-D").arg(directory).args(["--slot", slot, "--no-loop"]);
    command
}

/// Returns a command that runs `pg_receivewal` with this slot. `pg_receivewal` writes the WAL to files in this directory.
fn theirs(cluster: &Cluster, directory: &Path, slot: &str) -> Command {
    let mut command = cluster.client("pg_receivewal");
    command.arg("-D").arg(directory).args(["--slot", slot, "--no-loop"]);
    command
}

/// Makes two directories and two slots: `ours` for `pg-receive`, and `theirs` for `pg_receivewal`.
fn make_pair(cluster: &Cluster) -> (PathBuf, PathBuf) {
    let pair = ["ours", "theirs"].map(|name| {
        cluster.make_slot(name);
        let path = cluster.path(name);
        fs::create_dir(&path).expect("a directory");
        path
    });
    pair.into()
}

/// Returns the files of a directory: their names and contents.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| {
            let entry = entry.expect("readable");
            let content = fs::read(entry.path()).expect("readable");
            (entry.file_name().into_string().expect("ASCII"), content)
        })
        .collect()
}

/// Checks that two directories have the same files, and returns the names of the files.
#[track_caller]
fn assert_same(ours: &Path, theirs: &Path) -> Vec<String> {
    let (ours, theirs) = (files(ours), files(theirs));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (name, content) in &ours {
        let differs = content.iter().zip(&theirs[name]).position(|(ours, theirs)| ours != theirs);
        assert!(*content == theirs[name], "{name} differs at {differs:?}");
    }
    names(&ours)
}

/// Returns a WAL position. All clients that stop at this position have written the same files. A client writes the whole message that
/// contains the position, and then stops. So this message must end at the same byte for every client. The message could end early if the
/// server had no further WAL. So this function makes the server write about 400 kB of WAL after the position, which is more than the 128 kB
/// of the longest message.
fn end_position(cluster: &Cluster) -> String {
    let end = cluster.sql("select pg_current_wal_insert_lsn()");
    cluster.write_wal(400);
    cluster.sql("select pg_switch_wal()");
    end
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn segments_that_exist_are_received_as_pg_receivewal_receives_them() {
    for programs in Programs::both() {
        for segment in [1, 16] {
            let cluster = Cluster::new(&programs, segment);
            let (our_files, their_files) = make_pair(&cluster);
            cluster.write_wal(segment * 2500);
            let end = end_position(&cluster);
            let ended = finish(ours(&cluster, &our_files, "ours").args(["--endpos", &end]));
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
            done(theirs(&cluster, &their_files, "theirs").args(["--endpos", &end]));
            let names = assert_same(&our_files, &their_files);
            assert!(
                names.len() >= 3 && names.iter().filter(|name| name.ends_with(".partial")).count() == 1,
                "{names:?}"
            );
            // Checks that the files of both programs have the same permissions.
            let modes = [&our_files, &their_files].map(|directory| {
                let path = directory.join(&names[0]);
                fs::metadata(path).expect("a file").permissions()
            });
            assert_eq!(modes[0], modes[1]);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_live_stream_is_received_up_to_the_shutdown_of_the_server() {
    for programs in Programs::both() {
        let mut cluster = Cluster::new(&programs, 1);
        let (our_files, their_files) = make_pair(&cluster);
        let receivers = [ours(&cluster, &our_files, "ours"), theirs(&cluster, &their_files, "theirs")];
        let receivers = receivers.map(|mut command| Running::start(&mut command));
        until("both receive", || cluster.is_active("ours") && cluster.is_active("theirs"));
        for part in [100, 1000, 10, 3000] {
            cluster.write_wal(part);
        }
        cluster.sql("select pg_switch_wal()");
        cluster.write_wal(1);
        let begin = Instant::now();
        cluster.stop();
        // The server ends only after both clients have confirmed all WAL. A client that confirms late would delay the end.
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
        for (receiver, name) in receivers.into_iter().zip(["pg-receive", "pg_receivewal"]) {
            let ended = receiver.ended();
            assert_eq!(ended.code, Some(1), "{name}: {}", ended.stderr);
            assert!(ended.stderr.contains("disconnected"), "{name}: {}", ended.stderr);
        }
        let names = assert_same(&our_files, &their_files);
        assert!(names.len() >= 5, "{names:?}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn without_a_slot_the_stream_begins_at_the_end_of_the_servers_wal() {
    for programs in Programs::both() {
        let mut cluster = Cluster::new(&programs, 1);
        cluster.write_wal(3000);
        let first = cluster.sql("select pg_walfile_name(pg_current_wal_flush_lsn())");
        let directories = ["ours", "theirs"].map(|name| cluster.path(name));
        directories.iter().for_each(|directory| fs::create_dir(directory).expect("a directory"));
        let mut ours = Command::new(env!("CARGO_BIN_EXE_pg-receive"));
        ours.arg(cluster.url()).arg("-D").arg(&directories[0]).arg("--no-loop");
        let mut theirs = cluster.client("pg_receivewal");
        theirs.arg("-D").arg(&directories[1]).arg("--no-loop");
        let receivers = [ours, theirs].map(|mut command| Running::start(&mut command));
        until("both receive", || {
            cluster.sql("select count(*) from pg_stat_replication where state = 'streaming'") == "2"
        });
        cluster.write_wal(3000);
        cluster.stop();
        for receiver in receivers {
            assert_eq!(receiver.ended().code, Some(1));
        }
        let names = assert_same(&directories[0], &directories[1]);
        assert!(names.len() >= 3 && names[0] == first, "{names:?}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_program_connects_again_after_a_lost_connection() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let (our_files, their_files) = make_pair(&cluster);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg-receive"));
        command.arg(cluster.url()).arg("-D").arg(&our_files).args(["--slot", "ours", "--synchronous"]);
        let receiver = Running::start(&mut command);
        until("it receives", || cluster.is_active("ours"));
        cluster.write_wal(1500);
        cluster.sql(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'ours'",
        );
        until("the connection is lost", || !cluster.is_active("ours"));
        cluster.write_wal(1500);
        until("the client receives again", || cluster.is_active("ours"));
        let end = end_position(&cluster);
        let confirmed =
            format!("select restart_lsn > '{end}' from pg_replication_slots where slot_name = 'ours'");
        until("all is confirmed", || cluster.sql(&confirmed) == "t");
        receiver.signal(Signal::INT);
        let ended = receiver.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("terminating connection due to administrator command"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("waiting 5 seconds to try again"), "{}", ended.stderr);
        done(theirs(&cluster, &their_files, "theirs").args(["--endpos", &end]));
        // Each complete segment of pg_receivewal must also be a file of `pg-receive`. `pg-receive` was stopped later, so it may have more
        // segments.
        let (ours, theirs) = (files(&our_files), files(&their_files));
        let complete: Vec<_> = theirs.iter().filter(|(name, _)| !name.ends_with(".partial")).collect();
        assert!(complete.len() >= 3);
        assert!(complete.into_iter().all(|(name, content)| ours.get(name) == Some(content)));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_stream_resumes_after_a_kill() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let (our_files, their_files) = make_pair(&cluster);
        for round in 0..6 {
            let receiver = Running::start(ours(&cluster, &our_files, "ours").arg("--synchronous"));
            until("it receives", || cluster.is_active("ours"));
            cluster.write_wal(700);
            thread::sleep(Duration::from_millis(5 * round));
            receiver.signal(Signal::KILL);
            drop(receiver);
            until("the slot is free", || !cluster.is_active("ours"));
            // The files must contain all WAL that the client has confirmed to the server.
            let confirmed =
                cluster.sql("select restart_lsn from pg_replication_slots where slot_name = 'ours'");
            let segment = cluster.sql(&format!("select pg_walfile_name('{confirmed}'::pg_lsn - 1)"));
            let offset = cluster
                .sql(&format!("select file_offset from pg_walfile_name_offset('{confirmed}'::pg_lsn - 1)"));
            let offset: usize = offset.parse().expect("a number");
            let path = our_files.join(&segment);
            let partial = our_files.join(format!("{segment}.partial"));
            let kept = fs::read(path).or_else(|_| fs::read(partial)).expect("a segment");
            let original =
                fs::read(cluster.path("data/pg_wal").join(&segment)).expect("the server has the segment");
            assert!(kept[..=offset] == original[..=offset], "round {round}: {confirmed}");
        }
        // `pg-receive` and `pg_receivewal` take turns. Each program must resume from the files of the other program.
        for program in [ours, theirs, ours] {
            let end = end_position(&cluster);
            done(program(&cluster, &our_files, "ours").args(["--endpos", &end]));
        }
        let end = end_position(&cluster);
        done(ours(&cluster, &our_files, "ours").args(["--endpos", &end]));
        done(theirs(&cluster, &their_files, "theirs").args(["--endpos", &end]));
        let names = assert_same(&our_files, &their_files);
        assert!(names.len() >= 5, "{names:?}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_segment_that_a_killed_run_has_not_filled_is_filled() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let (our_files, their_files) = make_pair(&cluster);
        let begin = cluster
            .sql("select pg_walfile_name(restart_lsn) from pg_replication_slots where slot_name = 'ours'");
        fs::write(our_files.join(format!("{begin}.partial")), [0; 5000]).expect("written");
        cluster.write_wal(1000);
        let end = end_position(&cluster);
        done(ours(&cluster, &our_files, "ours").args(["--endpos", &end]));
        done(theirs(&cluster, &their_files, "theirs").args(["--endpos", &end]));
        assert_same(&our_files, &their_files);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_slot_advances_only_to_synced_positions() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 64);
        let (our_files, _) = make_pair(&cluster);
        let receiver = Running::start(ours(&cluster, &our_files, "ours").args(["--status-interval", "1"]));
        until("it receives", || cluster.is_active("ours"));
        // SQL that returns the positions that the client has reported to the server. The closure `parse` converts the result to numbers.
        let reported = "select write_lsn - '0/0' || ' ' || (flush_lsn - '0/0') from pg_stat_replication";
        let parse = |row: &str| -> Option<(u64, u64)> {
            let (written, flushed) = row.lines().last()?.split_once(' ')?;
            Some((written.parse().ok()?, flushed.parse().ok()?))
        };
        let positions = || parse(&cluster.sql(reported));
        cluster.write_wal(10);
        let end = cluster.sql("select pg_current_wal_flush_lsn() - '0/0'").parse().expect("a number");
        until("the first position is confirmed", || positions().is_some_and(|(_, flushed)| flushed >= end));
        let begin = positions().expect("a row").1;
        // The program syncs a file at the end of a segment, or when the stream is idle. The statement `busy` runs for four seconds. In this
        // time, the segment does not end and the stream is not idle. So the program must not confirm any WAL as flushed.
        let busy = "do $$ begin for i in 1..400 loop insert into filler values (i); commit; perform pg_sleep(0.01); end loop; end $$";
        let (written, flushed) = parse(&cluster.sql_in_turn(&[busy, reported])).expect("a row");
        assert_eq!(flushed, begin, "confirmed without a sync");
        assert!(written > flushed, "{written} {flushed}");
        // When the stream is idle, all WAL must be synced and confirmed.
        until("all is confirmed", || {
            positions().is_some_and(|(written, flushed)| flushed == written && flushed > begin)
        });
        receiver.signal(Signal::TERM);
        let ended = receiver.ended();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_signal_ends_the_stream_after_the_last_report() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let (our_files, _) = make_pair(&cluster);
        let receiver =
            Running::start(ours(&cluster, &our_files, "ours").args(["--synchronous", "--verbose"]));
        until("it receives", || cluster.is_active("ours"));
        cluster.write_wal(1500);
        let end = cluster.sql("select pg_current_wal_flush_lsn()");
        let confirmed =
            format!("select restart_lsn >= '{end}' from pg_replication_slots where slot_name = 'ours'");
        until("all is confirmed", || cluster.sql(&confirmed) == "t");
        receiver.signal(Signal::INT);
        let ended = receiver.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for line in ["starting log streaming at", "finished segment at", "received interrupt signal, exiting"]
        {
            assert!(ended.stderr.contains(line), "{}", ended.stderr);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn slots_are_created_and_dropped() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let run = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pg-receive"));
            finish(command.arg(cluster.url()).args(["--slot", "s"]).args(arguments))
        };
        let count = || cluster.sql("select count(*) from pg_replication_slots where slot_type = 'physical'");
        let missing = run(&["-D", "/tmp", "--no-loop"]);
        assert_eq!(missing.code, Some(1));
        assert!(missing.stderr.contains("replication slot \"s\" does not exist"), "{}", missing.stderr);
        assert_eq!(run(&["--create-slot"]).code, Some(0));
        assert_eq!(count(), "1");
        let again = run(&["--create-slot"]);
        assert_eq!(again.code, Some(1));
        assert!(again.stderr.contains("already exists"), "{}", again.stderr);
        assert_eq!(run(&["--create-slot", "--if-not-exists"]).code, Some(0));
        assert_eq!(run(&["--drop-slot"]).code, Some(0));
        assert_eq!(count(), "0");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_stream_follows_a_standby_to_its_new_timeline() {
    for programs in Programs::both() {
        let primary = Cluster::new(&programs, 1);
        let mut standby = primary.standby(&[]);
        let (our_files, their_files) = make_pair(&standby);
        let receivers = [ours(&standby, &our_files, "ours"), theirs(&standby, &their_files, "theirs")];
        let receivers = receivers.map(|mut command| Running::start(&mut command));
        until("both receive", || standby.is_active("ours") && standby.is_active("theirs"));
        // Makes directories for two clients that are late. Each client receives a part of the WAL before the standby is promoted to a new
        // timeline, and the rest after the promotion.
        let late = ["late_ours", "late_theirs"].map(|slot| {
            standby.make_slot(slot);
            let path = standby.path(slot);
            fs::create_dir(&path).expect("a directory");
            path
        });
        primary.write_wal(2500);
        let middle = primary.sql("select pg_current_wal_flush_lsn()");
        primary.write_wal(700);
        let end = primary.sql("select pg_current_wal_flush_lsn()");
        until("the standby has the WAL", || {
            standby.sql(&format!("select pg_last_wal_replay_lsn() >= '{end}'")) == "t"
        });
        done(ours(&standby, &late[0], "late_ours").args(["--endpos", &middle]));
        done(theirs(&standby, &late[1], "late_theirs").args(["--endpos", &middle]));
        let names = assert_same(&late[0], &late[1]);
        assert!(names.len() >= 3 && names.iter().all(|name| name.starts_with("00000001")), "{names:?}");
        standby.promote();
        standby.write_wal(2500);
        let end = end_position(&standby);
        done(ours(&standby, &late[0], "late_ours").args(["--endpos", &end]));
        done(theirs(&standby, &late[1], "late_theirs").args(["--endpos", &end]));
        let names = assert_same(&late[0], &late[1]);
        assert!(names.iter().any(|name| name == "00000002.history"), "{names:?}");
        standby.stop();
        for receiver in receivers {
            assert_eq!(receiver.ended().code, Some(1));
        }
        let names = assert_same(&our_files, &their_files);
        let count = |part: &str| names.iter().filter(|name| name.contains(part)).count();
        assert_eq!(count("00000002.history"), 1, "{names:?}");
        assert_eq!(
            names.iter().filter(|name| name.starts_with("00000001") && name.ends_with(".partial")).count(),
            1,
            "{names:?}"
        );
        assert!(names.iter().filter(|name| name.starts_with("00000002")).count() >= 3, "{names:?}");
    }
}

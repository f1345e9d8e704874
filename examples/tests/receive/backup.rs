//! Tests of base backups. pg_verifybackup must accept each backup, and a server must start from the files of the backup.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::cluster::{Cluster, Programs, Running, done};
use crate::support::{finish, until};

/// Returns a command that runs `pg-receive --base-backup` with a fast checkpoint.
fn back_up(cluster: &Cluster, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pg-receive"));
    command
        .arg(cluster.url())
        .arg("--base-backup")
        .arg(directory)
        .args(["--checkpoint", "fast"])
        .args(arguments);
    command
}

/// Makes a cluster with a table, and with a second table in a tablespace. Returns the cluster and the directory of the tablespace.
fn with_tables(programs: &Programs) -> (Cluster, PathBuf) {
    let cluster = Cluster::new(programs, 1);
    let space = cluster.make_directory("space");
    cluster.sql(&format!("create tablespace space location '{}'", space.display()));
    cluster.sql("create table here as select generate_series(1, 1000) n");
    cluster.sql("create table there tablespace space as select generate_series(1, 2000) n");
    (cluster, space)
}

/// Checks that the tables of [`with_tables`] have all rows, and that the server accepts writes.
#[track_caller]
fn assert_complete(cluster: &Cluster) {
    let counts = "select (select count(*) from here) || ' ' || (select count(*) from there)";
    assert_eq!(cluster.sql(counts), "1000 2000");
    cluster.sql("insert into there values (0)");
}

/// Runs pg_verifybackup.
#[track_caller]
fn verify(programs: &Programs, directory: &Path, arguments: &[&str]) {
    let verified = done(programs.client("pg_verifybackup").args(arguments).arg(directory));
    assert!(verified.contains("backup successfully verified"), "{verified}");
}

/// Returns the paths of all files, directories and links below a directory.
fn paths(directory: &Path) -> BTreeSet<String> {
    fn add(root: &Path, directory: &Path, paths: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).expect("readable") {
            let entry = entry.expect("readable");
            let path = entry.path();
            paths.insert(path.strip_prefix(root).expect("below it").display().to_string());
            if entry.file_type().expect("readable").is_dir() {
                add(root, &path, paths);
            }
        }
    }
    let mut found = BTreeSet::new();
    add(directory, directory, &mut found);
    found
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_server_starts_from_a_plain_backup() {
    for programs in Programs::both() {
        let (cluster, space) = with_tables(&programs);
        for method in ["stream", "fetch"] {
            let directory = programs.directory();
            let (data, copy) = (directory.path().join("data"), directory.path().join("copy"));
            let mapping = format!("{}={}", space.display(), copy.display());
            let arguments =
                ["--wal-method", method, "--tablespace-mapping", &mapping, "--manifest-checksums", "SHA256"];
            let mut running = Some(Running::start(&mut back_up(&cluster, &data, &arguments)));
            // Makes the server write WAL while the backup runs.
            for _ in 0..5 {
                cluster.write_wal(300);
            }
            let ended = running.take().expect("the process runs").ended();
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
            verify(&programs, &data, &[]);
            let manifest = fs::read_to_string(data.join("backup_manifest")).expect("a manifest");
            assert!(manifest.contains("\"Checksum-Algorithm\": \"SHA256\""));
            for path in paths(&data).iter().map(|path| data.join(path)).chain([data.clone(), copy.clone()]) {
                let metadata = fs::symlink_metadata(&path).expect("the file exists");
                let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
                let mode = metadata.permissions().mode() & 0o7777;
                assert!(metadata.is_symlink() || mode == expected, "{}: {mode:o}", path.display());
            }
            let slots = cluster.sql("select count(*) from pg_replication_slots");
            assert_eq!(slots, "0", "the temporary slot is gone");

            programs.hand_over(directory.path());
            let restored = Cluster::start(&programs, directory);
            assert_complete(&restored);
            let location =
                restored.sql("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'space'");
            assert_eq!(location, restored.path("copy").display().to_string());
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_server_starts_from_an_unpacked_tar_backup() {
    for programs in Programs::both() {
        let (cluster, space) = with_tables(&programs);
        for method in ["stream", "fetch"] {
            let directory = programs.directory();
            let (archives, data, copy) = (
                directory.path().join("archives"),
                directory.path().join("data"),
                directory.path().join("copy"),
            );
            done(&mut back_up(&cluster, &archives, &["--format", "tar", "--wal-method", method]));
            let oid = cluster.sql("select oid from pg_tablespace where spcname = 'space'");
            let mut expected =
                BTreeSet::from(["base.tar".to_owned(), format!("{oid}.tar"), "backup_manifest".into()]);
            if method == "stream" {
                expected.insert("pg_wal.tar".into());
            }
            assert_eq!(paths(&archives), expected);
            // Only pg_verifybackup of version 18 can verify archives. For version 15, the test verifies only the unpacked backup, below.
            if programs.major >= 18 {
                verify(&programs, &archives, &["--no-parse-wal"]);
            }

            let unpack = |archive: &str, goal: &Path| {
                fs::create_dir_all(goal).expect("a directory");
                fs::set_permissions(goal, fs::Permissions::from_mode(0o700)).expect("ours");
                done(Command::new("tar").arg("-xf").arg(archives.join(archive)).arg("-C").arg(goal));
            };
            unpack("base.tar", &data);
            unpack(&format!("{oid}.tar"), &copy);
            if method == "stream" {
                unpack("pg_wal.tar", &data.join("pg_wal"));
            }
            fs::copy(archives.join("backup_manifest"), data.join("backup_manifest")).expect("copied");
            let link = data.join("pg_tblspc").join(&oid);
            std::os::unix::fs::symlink(&copy, &link).expect("linked");
            verify(&programs, &data, &[]);

            // Removes the link of the tablespace. A server that starts from the backup must make the link again, as the file
            // `tablespace_map` says.
            fs::remove_file(link).expect("removed");
            let map = fs::read_to_string(data.join("tablespace_map")).expect("a map");
            assert_eq!(map.trim_end(), format!("{oid} {}", space.display()));
            fs::write(data.join("tablespace_map"), format!("{oid} {}\n", copy.display())).expect("written");
            programs.hand_over(directory.path());
            assert_complete(&Cluster::start(&programs, directory));
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_backup_has_the_files_of_pg_basebackup() {
    for programs in Programs::both() {
        let (cluster, space) = with_tables(&programs);
        for method in ["none", "fetch", "stream"] {
            let pair = ["ours", "theirs"].map(|name| {
                let name = format!("{method}-{name}");
                (cluster.path(&name), cluster.path(&format!("{name}-space")))
            });
            let mapping = |copy: &Path| format!("{}={}", space.display(), copy.display());
            let [(ours, our_copy), (theirs, their_copy)] = &pair;
            done(&mut back_up(&cluster, ours, &["-X", method, "-T", &mapping(our_copy)]));
            let mut reference = cluster.client("pg_basebackup");
            reference.args(["-c", "fast", "--no-sync", "-X", method, "-T", &mapping(their_copy), "-D"]);
            done(reference.arg(theirs));
            // The names of WAL segments are not compared, because the two backups begin in different segments.
            let without_segments = |directory: &Path| {
                let is_segment = |path: &String| {
                    path.starts_with("pg_wal/0") || path.starts_with("pg_wal/archive_status/0")
                };
                let (segments, others): (BTreeSet<_>, BTreeSet<_>) =
                    paths(directory).into_iter().partition(is_segment);
                (segments.is_empty(), others)
            };
            assert_eq!(without_segments(ours), without_segments(theirs), "{method}");
            assert_eq!(paths(our_copy), paths(their_copy), "{method}");
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_wal_of_a_backup_is_marked_as_archived() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let directory = cluster.path("backup");
        done(&mut back_up(&cluster, &directory, &[]));
        let paths = paths(&directory.join("pg_wal"));
        let segments: Vec<_> = paths.iter().filter(|path| path.starts_with('0')).collect();
        assert!(!segments.is_empty());
        for segment in segments {
            assert!(paths.contains(&format!("archive_status/{segment}.done")), "{paths:?}");
            assert_eq!(fs::metadata(directory.join("pg_wal").join(segment)).expect("a file").len(), 1 << 20);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_backup_that_fails_is_removed() {
    for programs in Programs::both() {
        let cluster = Cluster::new(&programs, 1);
        let (new, existing) = (cluster.path("new"), cluster.path("existing"));
        fs::create_dir(&existing).expect("a directory");
        // A signal interrupts the backup. The program must remove the files of the backup.
        for directory in [&new, &existing] {
            let running = Running::start(&mut back_up(&cluster, directory, &["--max-rate", "100"]));
            until("files arrive", || directory.join("pg_wal").exists() && paths(directory).len() > 10);
            running.signal(Signal::TERM);
            let ended = running.ended();
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "pg-receive: interrupted\n"));
        }
        assert!(!new.exists());
        assert_eq!(paths(&existing).len(), 0);
        // The server rejects an option of the backup. The program must leave no file.
        let ended = finish(&mut back_up(&cluster, &new, &["--manifest-checksums", "MD6"]));
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("unrecognized checksum algorithm"), "{}", ended.stderr);
        assert!(!new.exists());
        // The server process ends during the backup. The program must remove the backup.
        let running = Running::start(&mut back_up(&cluster, &new, &["--max-rate", "100"]));
        until("files arrive", || new.join("pg_wal").exists() && paths(&new).len() > 10);
        cluster.sql("select pg_terminate_backend(pid) from pg_stat_replication where state = 'backup'");
        let ended = running.ended();
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("terminating connection"), "{}", ended.stderr);
        assert!(!new.exists());
        // The program must reject a directory with files, and must not change this directory.
        fs::write(existing.join("mine"), "x").expect("written");
        let ended = finish(&mut back_up(&cluster, &existing, &[]));
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("exists but is not empty"), "{}", ended.stderr);
        assert_eq!(fs::read(existing.join("mine")).expect("readable"), b"x");
    }
}

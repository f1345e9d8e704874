//! Measurements with a proxy between clients and a server. The CPU time of the proxy's process is measured.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pg_stream_tokio::TokioIo;
use tempfile::TempDir;

use super::clients::Client;
use super::clients::ours::Ours;
use super::place::{At, Place};
use crate::line::{Line, Meter, Round, Target, Who};
use crate::micro::decode::runtime;

/// The number of clients of `pgbench`.
const CLIENTS: u64 = 16;

/// A proxy that is measured.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The benchmark itself with the option `--splice`, which copies bytes in both directions.
    Splice,
    /// The program `pg-proxy` with the option `--raw`.
    Raw,
    /// The program `pg-proxy` without `--raw`: the proxy decodes each message.
    Decoding,
    /// PgBouncer with session pooling: each client has its own server connection.
    PgBouncer,
}

/// Measurements with many small queries to a PostgreSQL server, and with many rows from the replay server.
pub(crate) fn lines(replay: &At, server: &At, part: u64) -> Vec<Line> {
    let (At::Tcp(replay), At::Tcp(server)) = (replay, server) else { return Vec::new() };
    let mut lines = Vec::new();
    for (name, kind, limit) in [("raw", Kind::Raw, 1.3), ("decoding", Kind::Decoding, 1.6)] {
        let each = 4000 / part;
        let queries =
            Line::new(format!("proxy: {name}, pgbench -S"), "query", CLIENTS * each, Target::new(limit, 1.0));
        let server = *server;
        lines.push(contenders(queries, kind, server, move |at| Ok(Box::new(move || pgbench(at, each)))));
        let count = 1_000_000 / part;
        let rows = Line::new(format!("proxy: {name}, rows"), "row", count, Target::new(limit, 1.0));
        lines.push(contenders(rows, kind, *replay, move |at| {
            let mut client = Ours::<TokioIo<tokio::net::TcpStream>>::connect(
                &Place::new(At::Tcp(at)),
                Rc::new(runtime()?),
            )?;
            Ok(Box::new(move || client.read_text(&format!("replay {count} text"))))
        }));
    }
    lines
}

fn contenders(
    line: Line,
    ours: Kind,
    upstream: SocketAddr,
    work: impl Fn(SocketAddr) -> Result<Round> + 'static,
) -> Line {
    let work = Rc::new(work);
    let mut all = vec![(Who::Limit, Kind::Splice), (Who::Ours, ours)];
    if is_there("pgbouncer") {
        all.push((Who::Peer("PgBouncer"), Kind::PgBouncer));
    } else {
        eprintln!(
            "bench: {}: PgBouncer is skipped, because it is not installed (`apt-get install pgbouncer`)",
            line.name
        );
    }
    all.into_iter().fold(line.long(), |line, (who, kind)| {
        let work = work.clone();
        line.metered(who, move || {
            let proxy = Rc::new(Proxy::start(kind, upstream)?);
            let round = work(proxy.at)?;
            let meter: Meter = Box::new(move || proxy.cpu_time());
            Ok((round, meter))
        })
    })
}

/// Runs pgbench with its built-in script of read-only queries.
fn pgbench(at: SocketAddr, each: u64) -> Result<u64> {
    let output = Command::new("pgbench")
        .args(["-n", "-S", "-j", "1", "-c", &CLIENTS.to_string(), "-t", &each.to_string()])
        .args(["-h", &at.ip().to_string(), "-p", &at.port().to_string(), "-U", "trust", "test"])
        .output()
        .context("cannot run pgbench (`apt-get install postgresql-contrib`)")?;
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    Ok(0)
}

/// Makes the tables of pgbench.
pub(crate) fn make_tables(server: &At) -> Result<()> {
    let At::Tcp(at) = server else { return Ok(()) };
    if !is_there("pgbench") {
        eprintln!("bench: pgbench is not installed (`apt-get install postgresql-contrib`)");
        return Ok(());
    }
    let output = Command::new("pgbench")
        .args(["-i", "-q", "-h", &at.ip().to_string(), "-p", &at.port().to_string(), "-U", "trust", "test"])
        .output()?;
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Whether a program is on the PATH or in /usr/sbin, where Debian installs PgBouncer.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .any(|directory| directory.join(program).is_file())
}

/// A running proxy. Dropping this value stops the proxy.
pub(super) struct Proxy {
    child: Child,
    pub(super) at: SocketAddr,
    _dir: Option<TempDir>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(kind: Kind, upstream: SocketAddr) -> Result<Self> {
        let upstream_text = upstream.to_string();
        match kind {
            Kind::Splice => {
                let mut splice = Command::new(std::env::current_exe()?);
                Self::telling(splice.args(["--splice", &upstream_text]))
            }
            Kind::Raw | Kind::Decoding => {
                let program =
                    std::env::var_os("PG_PROXY").context("PG_PROXY is not set: run `cargo xtask bench`")?;
                let mut proxy = Command::new(program);
                proxy.args(["--listen", "127.0.0.1:0", "--upstream", &upstream_text]);
                if matches!(kind, Kind::Raw) {
                    proxy.arg("--raw");
                }
                Self::telling(&mut proxy)
            }
            Kind::PgBouncer => {
                let settings = "auth_type = trust\npool_mode = session\ndefault_pool_size = 50\n";
                Self::pgbouncer(upstream, "\"trust\" \"\"\n", settings)
            }
        }
    }

    /// Starts a proxy. The proxy must print its address on standard error, as the last word of the first line.
    pub(super) fn telling(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stderr = BufReader::new(child.stderr.take().context("standard error is not a pipe")?);
        let mut line = String::new();
        stderr.read_line(&mut line)?;
        // The remaining output of the proxy is read and ignored, because otherwise the proxy would block on a full pipe.
        thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        let at = line.split_whitespace().last().and_then(|word| word.parse().ok());
        let at = at.with_context(|| format!("the proxy printed no address, but: {line}"))?;
        Ok(Self { child, at, _dir: None })
    }

    /// Starts PgBouncer. `users` is the content of PgBouncer's `auth_file`; `more` are further lines of its configuration file.
    pub(super) fn pgbouncer(upstream: SocketAddr, users: &str, more: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = dir.path().join("users");
        fs::write(&file, users)?;
        let settings = dir.path().join("pgbouncer.ini");
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
                 unix_socket_dir =\nauth_file = {}\n{more}server_reset_query =\nserver_check_query =\nignore_startup_parameters = extra_float_digits\n\
                 log_connections = 0\nlog_disconnections = 0\n",
                upstream.ip(),
                upstream.port(),
                at.port(),
                file.display()
            ),
        )?;
        let mut command = Command::new("pgbouncer");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if rustix::process::getuid().is_root() {
            // PgBouncer refuses to run as root, so it runs as the user `nobody`.
            open_to_all(&dir)?;
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg(&settings)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let proxy = Self { child, at, _dir: Some(dir) };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(at).is_err() {
            ensure!(Instant::now() < deadline, "PgBouncer does not listen on {at} after 10 seconds");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(proxy)
    }

    /// The CPU time of all threads of the proxy so far, in nanoseconds.
    pub(super) fn cpu_time(&self) -> f64 {
        cpu_time_of(self.child.id())
    }
}

/// The CPU time of all threads of a process so far, in nanoseconds.
pub(super) fn cpu_time_of(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let of = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    tasks.into_iter().flatten().flatten().filter_map(of).sum()
}

fn open_to_all(dir: &TempDir) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?)
}

/// Runs a proxy that copies bytes in both directions, 64 KB at a time, without reading messages. This proxy uses the same runtime as
/// pg-proxy, and its time is the limit for the measured proxies.
pub(crate) fn splice(upstream: SocketAddr) -> Result<()> {
    const SIZE: usize = 64 * 1024;
    let runtime = runtime()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("listening on {}", listener.local_addr()?);
        loop {
            let (mut client, _) = listener.accept().await?;
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(upstream).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, SIZE, SIZE).await
            });
        }
    })
}

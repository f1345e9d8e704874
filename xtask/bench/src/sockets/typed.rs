//! Measurements of typed rows over a socket. Each client runs a statement, and reads the values of each row as Rust types. asyncpg reads
//! the values as Python objects.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result};
use pg_stream_tokio::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::clients::hand::Hand;
use super::clients::ours::Ours;
use super::clients::sqlx::Sqlx;
use super::clients::tokio_postgres::TokioPostgres;
use super::place::{At, Place};
use super::proxies::cpu_time_of;
use crate::line::{Line, Meter, Round, Target, Who};
use crate::micro::decode::runtime;

/// A client that reads the result of a statement as typed values. Both methods return the sum over all values.
pub(crate) trait ReadTyped {
    /// Reads rows of four columns.
    fn read_four(&mut self, sql: &str) -> Result<u64>;
    /// Reads rows of twelve columns.
    fn read_twelve(&mut self, sql: &str) -> Result<u64>;
}

/// Returns the measurements with a server of the version `major`.
pub(super) fn lines(major: u8, server: &At, part: u64) -> Vec<Line> {
    let count = 400_000 / part;
    let four = "c, b, a::float8, nullif(g, '')";
    let line = |columns: &str, what: &str| {
        let sql = format!("SELECT {columns} FROM bench_rows LIMIT {count}");
        let name = format!("server {major}: typed rows of {what}, binary");
        (
            Line::new(name, "row", count, Target { rival: Some("tokio-postgres"), ..Target::new(1.3, 2.0) }),
            sql,
        )
    };
    let place = Place::new(server.clone());
    let (line_4, sql_4) = line(four, "4");
    let (line_12, sql_12) = line(&[four; 3].join(", "), "12");
    vec![
        everybody(line_4, &place, &sql_4, |client, sql| client.read_four(sql)),
        everybody(line_12, &place, &sql_12, |client, sql| client.read_twelve(sql)),
    ]
}

/// Adds all clients to a measurement.
fn everybody(
    line: Line,
    place: &Place,
    sql: &str,
    read: fn(&mut dyn ReadTyped, &str) -> Result<u64>,
) -> Line {
    type Connect = fn(&Place, Rc<Runtime>) -> Result<Box<dyn ReadTyped>>;
    let clients: [(Who, Connect); 4] = [
        (Who::Limit, |place, runtime| Ok(Box::new(Hand::<TcpStream>::connect(place, runtime)?))),
        (Who::Ours, |place, runtime| Ok(Box::new(Ours::<TokioIo<TcpStream>>::connect(place, runtime)?))),
        (Who::Peer("tokio-postgres"), |place, runtime| Ok(Box::new(TokioPostgres::connect(place, runtime)?))),
        (Who::Peer("sqlx"), |place, runtime| Ok(Box::new(Sqlx::connect(place, runtime)?))),
    ];
    let line = clients.into_iter().fold(line.long(), |line, (who, connect)| {
        let (place, sql) = (place.clone(), sql.to_owned());
        line.prepared(who, move || {
            let mut client = connect(&place, Rc::new(runtime()?))?;
            Ok(Box::new(move || read(&mut *client, &sql)))
        })
    });
    if std::env::var_os(PYTHON).is_none() {
        eprintln!("bench: {}: asyncpg is skipped, because {PYTHON} is not set", line.name);
        return line;
    }
    let (place, sql) = (place.clone(), sql.to_owned());
    line.metered(Who::Peer("asyncpg"), move || {
        let mut asyncpg = Asyncpg::start(&place, &sql)?;
        let id = asyncpg.child.id();
        let round: Round = Box::new(move || asyncpg.round());
        let meter: Meter = Box::new(move || cpu_time_of(id));
        Ok((round, meter))
    })
}

/// The environment variable with the path of a Python that has asyncpg.
const PYTHON: &str = "PSYCOPG_PYTHON";

/// A Python program that runs a statement once for each line on its standard input. After each run, the program prints the sum over all
/// values of the rows. The sum is computed only in the first run, which is not measured. The other runs print the same sum if they have
/// read the same number of rows.
const PROGRAM: &str = "
import asyncio, struct, sys
import asyncpg

def of_value(value):
    if value is None:
        return 1 << 48
    if isinstance(value, int):
        data = struct.pack('<i', value)
    elif isinstance(value, float):
        data = struct.pack('<d', value)
    else:
        data = value.encode()
    return (len(data) << 8) + (data[0] if data else 0)

async def main(host, port, user, database, sql):
    conn = await asyncpg.connect(host=host, port=int(port), user=user, database=database, ssl=False)
    statement = await conn.prepare(sql)
    total, count = None, 0
    for _ in sys.stdin:
        rows = await statement.fetch()
        if total is None:
            total, count = sum(of_value(value) for row in rows for value in row), len(rows)
        for row in rows:
            for value in row:
                pass
        print(total if len(rows) == count else 0, flush=True)

asyncio.run(main(*sys.argv[1:]))
";

/// A running [`PROGRAM`]. Dropping this value stops the program.
struct Asyncpg {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Asyncpg {
    fn start(place: &Place, sql: &str) -> Result<Self> {
        let python = std::env::var_os(PYTHON).with_context(|| format!("{PYTHON} is not set"))?;
        let (host, port) = place.host_and_port();
        let mut command = Command::new(python);
        command.args(["-c", PROGRAM, &host, &port.to_string(), place.user, place.database, sql]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().context("standard input is not a pipe")?;
        let stdout = BufReader::new(child.stdout.take().context("standard output is not a pipe")?);
        Ok(Self { child, stdin, stdout })
    }

    fn round(&mut self) -> Result<u64> {
        self.stdin.write_all(b"\n")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("the program with asyncpg printed {line:?}"))
    }
}

impl Drop for Asyncpg {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

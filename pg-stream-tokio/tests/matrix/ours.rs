//! Logins by this crate.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use pg_auth::connect::ConnectError;
use pg_auth::gss::{ContextError, Gss, GssContext, GssOutput, GssTarget};
use pg_auth::oauth::{Token, TokenRequest, Tokens};
use pg_auth::{Config, Session};
use pg_wire::backend::{Backend, ServerError};
use pg_wire::{Connection, PgProtocol, Transport};

use crate::cells::{Cell, Method};
use crate::outcome::{Outcome, WHOAMI};
use crate::servers::variable;

/// Logs in, and queries the user of the session. `connect` is the function `connect` of the crate under test.
pub(crate) async fn log_in<T: Transport>(
    cell: &Cell,
    connect: impl AsyncFnOnce(&Config) -> Result<(Connection<T>, Session), ConnectError>,
) -> Outcome {
    let mut config = match cell.settings().parse::<Config>() {
        Ok(config) => config,
        Err(error) => return Outcome::of_ours(&ConnectError::from(error)),
    };
    if cell.method == Method::Gss {
        let tickets = cell.proof.tickets();
        config = config.gss(Gss::new(move |target: &GssTarget| Kerberos::begin(target, &tickets)));
    }
    if let (Method::OAuth, Some(token)) = (cell.method, cell.proof.token()) {
        config = config.tokens(Tokens::new(move |_: TokenRequest| {
            let token = token.clone();
            async move { Ok(Token::new(token)?.into()) }
        }));
    }
    match connect(&config).await {
        Ok((mut conn, _)) => {
            let whoami = ask(&mut conn, WHOAMI).await.expect("the query is fine");
            let _ = conn.terminate().flush().await;
            Outcome::LoggedIn(whoami)
        }
        Err(error) => Outcome::of_ours(&error),
    }
}

/// Runs a query, and returns the only value in the result.
pub(crate) async fn ask<T: Transport>(conn: &mut Connection<T>, sql: &str) -> Result<String, ServerError> {
    conn.query(sql).flush().await.expect("sent");
    let mut answer = Ok(String::new());
    loop {
        match conn.recv().await.expect("received").backend().expect("well-formed") {
            Backend::DataRow(row) => {
                let value = row.values.get(0).expect("whole").flatten().expect("not NULL");
                answer = Ok(String::from_utf8(value.to_vec()).expect("UTF-8"));
            }
            Backend::ErrorResponse(error) => answer = Err(error.to_owned()),
            Backend::ReadyForQuery(_) => return answer,
            _ => {}
        }
    }
}

/// The system's GSSAPI library, loaded by a Python program in a separate process. A separate process is needed because environment
/// variables select the tickets. Python is used because Rust bindings to the library would need libclang.
struct Kerberos {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Kerberos {
    fn begin(target: &GssTarget, tickets: &str) -> Result<Box<dyn GssContext>, ContextError> {
        let mut python = Command::new(variable("PSYCOPG_PYTHON"));
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix/gss.py"));
        python.arg(format!("{}@{}", target.service, target.host));
        python.env_clear().env("KRB5_CONFIG", variable("PG_KRB5_CONFIG")).env("KRB5CCNAME", tickets);
        let mut process = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Ok(Box::new(Self { process, input, output }))
    }
}

impl GssContext for Kerberos {
    fn step(&mut self, input: Option<&[u8]>) -> Result<GssOutput, ContextError> {
        let hex: String = input.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.input, "{hex}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let (word, rest) =
            answer.trim_end_matches('\n').split_once(' ').ok_or("the program gave no answer")?;
        let token = || {
            let digits = rest.as_bytes().chunks(2).map(|pair| {
                let pair = str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(pair, 16).expect("hexadecimal")
            });
            digits.collect::<Vec<u8>>()
        };
        match word {
            "continue" => Ok(GssOutput::Continue(token())),
            "done" => {
                Ok(GssOutput::Done { token: Some(token()).filter(|token| !token.is_empty()), peer: None })
            }
            _ => Err(rest.into()),
        }
    }
}

impl Drop for Kerberos {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

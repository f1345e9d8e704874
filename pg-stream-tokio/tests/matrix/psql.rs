//! Logins by libpq, in the same version as the server.
//!
//! Logins use psql, except for logins with a bearer token. psql needs a module to get tokens from an issuer, and psql's package does not
//! contain this module. So logins with a bearer token use a Python program, which loads libpq and passes the token through
//! `PQsetAuthDataHook`.

use std::process::{Child, Command, Stdio};

use crate::cells::{Cell, Method};
use crate::outcome::{Outcome, WHOAMI};
use crate::servers::variable;

/// A running process that logs in.
pub(crate) struct Login(Child);

/// Starts the process for the login of a cell.
pub(crate) fn start(cell: &Cell) -> Login {
    let settings = cell.settings();
    let mut command = match cell.proof.token() {
        Some(token) if cell.method == Method::OAuth => {
            let mut python = command("PSYCOPG_PYTHON");
            python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask/tests/oauth.py"));
            python.args([&variable("PG18_LIBPQ"), &settings, &token, WHOAMI]);
            python
        }
        _ => {
            let mut psql = command(&format!("PG{}_PSQL", cell.major));
            psql.args(["-XAtw", "-d", &settings, "-c", WHOAMI]);
            psql
        }
    };
    if cell.method == Method::Gss {
        command.env("KRB5CCNAME", cell.proof.tickets());
    }
    Login(command.spawn().expect("the program starts"))
}

/// Creates a command that inherits no environment variables. `name` is the environment variable that contains the path of the program.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(variable(name));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("HOME", "/nonexistent");
    command.env("KRB5_CONFIG", variable("PG_KRB5_CONFIG"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Login {
    /// Waits for the end of the process, and returns the outcome of its login.
    pub(crate) fn outcome(self) -> Outcome {
        let output = self.0.wait_with_output().expect("the program ends");
        let success = output.status.success();
        let text = if success { output.stdout } else { output.stderr };
        Outcome::of_psql(success, &String::from_utf8(text).expect("UTF-8"))
    }
}

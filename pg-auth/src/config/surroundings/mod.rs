//! Settings from the surroundings of a program: environment, service file, password file, home directory, name of the user.

mod passfile;
mod service;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::host::SOCKET_DIRS;
use super::parameters::{PARAMETERS, Value, Values};
use super::{Config, Host, RootCert, SslMode, parse};
use crate::error::{ConfigError, ServiceError};
pub use passfile::Warning;

/// Environment variables whose values are sent to the server as run-time parameters, as in libpq. A variable with the value `default` is
/// ignored.
const RUNTIME_PARAMETERS: &[(&str, &str)] =
    &[("PGDATESTYLE", "datestyle"), ("PGTZ", "timezone"), ("PGGEQO", "geqo")];

/// Name of the user's service file, in the home directory.
const USER_SERVICE_FILE: &str = ".pg_service.conf";
/// Name of the system's service file, in a directory of `SYSTEM_DIRS` or in `PGSYSCONFDIR`.
const SYSTEM_SERVICE_FILE: &str = "pg_service.conf";

/// Directories in which the system's service file is looked for, in this order: the directory on Debian, the directory on Fedora, and the
/// directory on most other systems. Not used if `PGSYSCONFDIR` names a directory. libpq has a single directory, chosen when libpq is built.
const SYSTEM_DIRS: &[&str] =
    if cfg!(unix) { &["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/etc"] } else { &[] };

#[cfg(not(windows))]
const PASSWORD_FILE: &str = ".pgpass";
#[cfg(windows)]
const PASSWORD_FILE: &str = "pgpass.conf";

/// Directory of the certificates, relative to the home directory. Empty on Windows, where `home` is already PostgreSQL's own directory.
const TLS_DIR: &str = if cfg!(windows) { "" } else { ".postgresql" };

/// Sources of settings outside of a connection string: environment variables, service files, password files, certificates in the home
/// directory. Only [`config`](Self::config) reads files. No other type of this library reads any of these sources.
///
/// If several sources have a value for a parameter, the first source of this list wins, as in libpq:
/// 1. the connection string;
/// 2. the service, named by `service` in the string or by `PGSERVICE`
///    ([manual](https://www.postgresql.org/docs/current/libpq-pgservice.html)). The service is searched for in two files: first in the file
///    named by `servicefile` or `PGSERVICEFILE`, by default `~/.pg_service.conf`; then in `pg_service.conf` in the directory named by
///    `PGSYSCONFDIR`, by default the first of `/etc/postgresql-common`, `/etc/sysconfig/pgsql` and `/etc` that has this file;
/// 3. the environment variables `PGHOST`, `PGPORT`, `PGUSER` and the others
///    ([manual](https://www.postgresql.org/docs/current/libpq-envars.html));
/// 4. the defaults.
///
/// In addition:
/// - If no password is given, each host's password is looked up in the file named by `passfile` or `PGPASSFILE`, by default `~/.pgpass`
///   ([manual](https://www.postgresql.org/docs/current/libpq-pgpass.html)).
/// - The files `root.crt`, `root.crl`, `postgresql.crt` and `postgresql.key` in `~/.postgresql` are used for TLS if they exist and no other
///   file is given.
/// - If no user is given, the user is the name set by [`user`](Self::user). If [`login_name`](Self::login_name) (feature `login-name`) was
///   called instead of `user`, the user is the name of the operating system's user.
/// - If no host is given, the host is a Unix-domain socket in the first usual directory that exists; see [`Host::local`].
///
/// ```
/// use pg_auth::config::{Host, Surroundings};
///
/// // A real program calls `Surroundings::of_process()`. This example must not depend on the machine.
/// let surroundings = Surroundings::empty().variable("PGHOST", "db.example").variable("PGUSER", "bob");
/// let found = surroundings.config("user=alice")?;
/// assert_eq!(found.config.user, "alice");
/// assert_eq!(found.config.hosts, [Host::new("db.example", 5432)]);
/// # Ok::<(), pg_auth::error::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct Surroundings {
    variables: BTreeMap<String, OsString>,
    home: Option<PathBuf>,
    user: User,
    system_dirs: &'static [&'static str],
    socket_dirs: &'static [&'static str],
}

/// The source of the user's name if no user is given.
#[derive(Clone, Default)]
enum User {
    #[default]
    Unknown,
    Named(String),
    #[cfg(feature = "login-name")]
    Login,
}

/// The result of [`Surroundings::config`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The configuration, with the settings of the connection string and of the surroundings.
    pub config: Config,
    /// Warnings about files that were ignored, to be shown to the user.
    pub warnings: Vec<Warning>,
}

impl Surroundings {
    /// The surroundings of this process: its environment variables and the user's home directory.
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self {
            variables: std::env::vars_os()
                .filter_map(named)
                .filter(|(name, _)| name.starts_with("PG"))
                .collect(),
            home: home(),
            user: User::Unknown,
            system_dirs: SYSTEM_DIRS,
            socket_dirs: SOCKET_DIRS,
        }
    }

    /// Empty surroundings, to be filled by the caller.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Sets an environment variable in these surroundings. An earlier value is replaced. The variables of the process do not change.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Removes an environment variable from these surroundings.
    pub fn without_variable(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Sets the directory of the user's files: the home directory, or `%APPDATA%\postgresql` on Windows.
    pub fn home(mut self, dir: impl Into<PathBuf>) -> Self {
        self.home = Some(dir.into());
        self
    }

    /// Sets the name of the user, which is used if no other source names a user.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = User::Named(name.into());
        self
    }

    /// Makes [`config`](Self::config) ask the operating system for the user's name if no source names a user. This lookup may block for
    /// some time if the operating system gets the names of users over the network.
    #[cfg(feature = "login-name")]
    pub fn login_name(mut self) -> Self {
        self.user = User::Login;
        self
    }

    /// Reads a connection string, which may be empty, and takes missing settings from the surroundings.
    ///
    /// # Errors
    /// The errors of [`Config`]'s [`FromStr`](std::str::FromStr), for values from any source; [`ConfigError::Service`] if the service is
    /// not defined or a service file is invalid.
    pub fn config(&self, string: &str) -> Result<Found, ConfigError> {
        let mut values = parse::values(string)?;
        self.add_service(&mut values)?;
        self.add_variables(&mut values)?;
        let passfile = values.take("passfile");
        let mut config = values.config(|port| self.local(port))?;

        for (variable, parameter) in RUNTIME_PARAMETERS {
            if let Some(value) =
                self.variables.get(*variable).filter(|value| !value.eq_ignore_ascii_case("default"))
            {
                let value = value.to_str().ok_or(ConfigError::NotUtf8(parameter))?;
                config = config.with_parameter(*parameter, value);
            }
        }
        if config.user.is_empty() {
            config.user = self.user_name().unwrap_or_default();
        }
        self.add_tls_files(&mut config);
        let warnings = self.add_passwords(&mut config, passfile.as_deref()).err().into_iter().collect();
        Ok(Found { config, warnings })
    }

    fn value(&self, variable: &str) -> Option<Value> {
        self.variables.get(variable).map(|value| Zeroizing::new(value.as_encoded_bytes().to_vec()))
    }

    fn add_service(&self, values: &mut Values) -> Result<(), ConfigError> {
        let named_file = values.take("servicefile").or_else(|| self.value("PGSERVICEFILE"));
        let Some(service) = values.take("service").or_else(|| self.value("PGSERVICE")) else { return Ok(()) };

        let user_file = match &named_file {
            Some(name) => Some(path(name)),
            None => self.home.as_ref().map(|home| home.join(USER_SERVICE_FILE)).filter(|file| file.exists()),
        };
        let system_file = match self.variables.get("PGSYSCONFDIR") {
            Some(dir) => Some(Path::new(dir).join(SYSTEM_SERVICE_FILE)),
            None => {
                let files = self.system_dirs.iter().map(|dir| Path::new(dir).join(SYSTEM_SERVICE_FILE));
                files.into_iter().find(|file| file.exists())
            }
        };
        let system_file = system_file.filter(|file| file.exists());
        for file in user_file.into_iter().chain(system_file) {
            if service::read(&file, &service, values)? {
                return Ok(());
            }
        }
        let service = String::from_utf8_lossy(&service).into_owned();
        Err(ServiceError::Undefined { service }.into())
    }

    fn add_variables(&self, values: &mut Values) -> Result<(), ConfigError> {
        // `add_service` has already handled these two parameters.
        let handled = ["service", "servicefile"];
        for parameter in PARAMETERS.iter().filter(|parameter| !handled.contains(&parameter.name)) {
            if let Some(value) = parameter.variable.and_then(|variable| self.value(variable)) {
                values.fill(parameter.name, value)?;
            }
        }
        // `PGREQUIRESSL` is the predecessor of `PGSSLMODE`; libpq still reads this variable.
        if self.value("PGREQUIRESSL").is_some_and(|value| value.starts_with(b"1")) {
            values.fill("sslmode", Zeroizing::new(SslMode::Require.as_str().into()))?;
        }
        Ok(())
    }

    /// The default host: the first usual socket directory that exists. A search for a directory *with a socket* would be unsafe. Any user
    /// can create a socket in `/tmp`, and while the server is down, the search would find the socket of this user.
    fn local(&self, port: u16) -> Host {
        match self.socket_dirs.iter().find(|dir| Path::new(dir).is_dir()) {
            Some(dir) => Host::new(*dir, port),
            None => Host::local(port),
        }
    }

    fn user_name(&self) -> Option<String> {
        match &self.user {
            User::Unknown => None,
            User::Named(name) => Some(name.clone()),
            #[cfg(feature = "login-name")]
            User::Login => whoami::username().ok(),
        }
    }

    /// Adds the certificate files that exist in the home directory. If there is a client certificate, also adds the path of the private
    /// key, even if the key file does not exist. So a missing key file is an error when TLS begins; otherwise the client would log in
    /// without its certificate.
    fn add_tls_files(&self, config: &mut Config) {
        let Some(home) = &self.home else { return };
        let file = |name: &str| home.join(TLS_DIR).join(name);
        let existing = |name: &str| Some(file(name)).filter(|file| file.exists());
        let tls = &mut config.tls;
        if tls.root.is_none() {
            tls.root = existing("root.crt").map(RootCert::File);
        }
        if tls.crl.is_none() && tls.crl_dir.is_none() && matches!(tls.root, Some(RootCert::File(_))) {
            tls.crl = existing("root.crl");
        }
        if tls.cert.is_none() {
            tls.cert = existing("postgresql.crt");
        }
        if tls.cert.is_some() && tls.key.is_none() {
            tls.key = Some(file("postgresql.key"));
        }
    }

    /// Looks up each host's password in the password file. If there is a single host, the password of this host becomes the configuration's
    /// `password`.
    fn add_passwords(&self, config: &mut Config, passfile: Option<&Vec<u8>>) -> Result<(), Warning> {
        let named = passfile.filter(|name| !name.is_empty()).map(|name| path(name));
        let file = named.or_else(|| self.home.as_ref().map(|home| home.join(PASSWORD_FILE)));
        let (None, Some(file)) = (&config.password, file) else { return Ok(()) };
        let Some(text) = passfile::read(&file)? else { return Ok(()) };

        let database = config.database.as_ref().unwrap_or(&config.user);
        let find = |host: &Host| passfile::find(&text, host, database, &config.user);
        if let [host] = config.hosts.as_slice() {
            config.password = find(host);
        } else {
            let found = config.hosts.iter().filter_map(|host| Some((host.clone(), find(host)?)));
            config.host_passwords = found.collect();
        }
        Ok(())
    }
}

/// Shows the names of the variables without their values: a value may be a password.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Surroundings")
            .field("variables", &variables)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

#[cfg(not(windows))]
fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

#[cfg(windows)]
fn home() -> Option<PathBuf> {
    std::env::var_os("APPDATA").map(|data| Path::new(&data).join("postgresql"))
}

fn path(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    let path = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into();
    #[cfg(not(unix))]
    let path = OsString::from(String::from_utf8_lossy(bytes).into_owned()).into();
    path
}

#[cfg(test)]
mod tests;

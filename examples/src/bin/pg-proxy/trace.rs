//! Writes the trace: one line for every message.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pg_wire::{DecodeError, Direction, Message};
use rustix::fs::{Access, access};

use crate::record::Record;
use crate::say;

/// Mode of a trace file. Only the owner may read the file, because it contains SQL and rows.
const MODE: u32 = 0o600;

/// Name of the trace in error texts.
const TRACE: &str = "trace";

/// The destination of the trace lines of all connections.
#[derive(Clone)]
pub(crate) enum Destination {
    /// No trace is written.
    Nowhere,
    /// The lines of all connections go to the same file or to standard output.
    One(Lines),
    /// Each connection has its own file. The string is the name of the files, in which `%d` stands for the number of the connection.
    PerConnection(String),
}

/// The trace of one connection: the destination of the trace lines, and the recording of the connection. Each direction of the connection
/// holds a clone.
#[derive(Clone)]
pub(crate) struct Trace {
    lines: Lines,
    record: Record,
}

/// A shared writer of lines. It writes nothing if there is no destination, or after a write has failed.
#[derive(Clone)]
pub(crate) struct Lines {
    output: Option<Arc<Mutex<Output>>>,
    /// Name of the destination in an error text.
    name: &'static str,
}

/// The writer of lines, or `None` after a write has failed.
type Output = Option<BufWriter<Box<dyn Write + Send>>>;

impl Destination {
    /// Opens the destination with this name; `None` stands for no trace.
    ///
    /// # Errors
    /// The file cannot be created or opened for writing. If the name contains `%d`: the directory in the name does not exist or is not
    /// writable.
    pub(crate) fn open(name: Option<&str>) -> io::Result<Self> {
        Ok(match name {
            None => Self::Nowhere,
            Some("-") => Self::One(Lines::to(io::stdout(), TRACE)),
            Some(name) if name.contains("%d") => {
                check_directory(name)?;
                Self::PerConnection(name.into())
            }
            Some(name) => Self::One(create(name, TRACE)?),
        })
    }

    /// Returns the trace of the connection with this number. The trace includes `record`, the recording of the connection. If each
    /// connection has its own trace file, creates this file.
    pub(crate) fn connection(&self, number: u64, record: Record) -> io::Result<Trace> {
        let lines = match self {
            Self::Nowhere => Lines::NONE,
            Self::One(lines) => lines.clone(),
            Self::PerConnection(name) => create(&name.replace("%d", &number.to_string()), TRACE)?,
        };
        Ok(Trace { lines, record })
    }
}

/// Checks that files with this name can be created. The name may contain `%d`.
pub(crate) fn check_directory(name: &str) -> io::Result<()> {
    let file = name.replace("%d", "1");
    let directory = match Path::new(&file).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let checked = match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from),
        Err(error) => Err(error),
    };
    checked.map_err(|error| cannot_write(name, &error))
}

/// Creates a file that only its owner can read. Returns the writer of lines to the file. `what` is the name of the destination in an error
/// text.
pub(crate) fn create(name: &str, what: &'static str) -> io::Result<Lines> {
    let file = private_file(name).map_err(|error| cannot_write(name, &error))?;
    Ok(Lines::to(file, what))
}

/// Opens a file that only its owner can read. Empties an existing file, and changes its mode if it is a regular file.
fn private_file(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(name)?;
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

fn cannot_write(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {name}: {error}"))
}

impl Trace {
    /// A trace that writes nothing and records nothing.
    pub(crate) const NONE: Self = Self { lines: Lines::NONE, record: Record::NONE };

    /// Writes the line of a message.
    #[inline]
    pub(crate) fn message<M: Message + ?Sized>(&self, direction: Direction, message: &M) {
        self.lines.write(|output| writeln!(output, "{}", message.trace(direction)));
        self.record.message(direction, message);
    }

    /// Writes a line for a message that cannot be decoded, with the value of its length field and the reason. The body is left out, because
    /// it may be a password.
    pub(crate) fn malformed(&self, direction: Direction, length: usize, error: &DecodeError) {
        let letter = match direction {
            Direction::Frontend => 'F',
            Direction::Backend => 'B',
        };
        self.lines.write(|output| writeln!(output, "{letter}\t{length}\t{error}"));
        self.record.malformed(direction, length, error);
    }

    /// Writes the line for the server's one-byte answer to a request for encryption.
    pub(crate) fn answer(&self, name: &str, answer: u8) {
        self.lines.write(|output| writeln!(output, "B\t1\t{name}\t {}", answer.escape_ascii()));
        self.record.answer(name, answer);
    }

    /// Returns the recording of the connection.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Writes the buffered lines to their destinations.
    pub(crate) fn flush(&self) {
        self.lines.write(|output| output.flush());
        self.record.flush();
    }
}

impl Lines {
    /// No destination.
    pub(crate) const NONE: Self = Self { output: None, name: "" };

    fn to(output: impl Write + Send + 'static, name: &'static str) -> Self {
        let output: Output = Some(BufWriter::new(Box::new(output)));
        Self { output: Some(Arc::new(Mutex::new(output))), name }
    }

    /// Writes lines if there is a destination. Only the check for a destination is inlined, because most connections have no trace.
    #[inline(always)]
    pub(crate) fn write(&self, line: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>) {
        if let Some(shared) = &self.output {
            self.write_to(shared, line);
        }
    }

    /// Writes lines. The first failed write is reported, and nothing is written after it.
    #[inline(never)]
    fn write_to(
        &self,
        shared: &Mutex<Output>,
        line: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>,
    ) {
        let mut output: MutexGuard<'_, Output> = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = output.as_mut().map(line) {
            say(format_args!("pg-proxy: cannot write the {}, which ends here: {error}", self.name));
            // Drops the writer after a failed write, because later writes would fail as well.
            *output = None;
        }
    }
}

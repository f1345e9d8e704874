//! A line for every message.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pg_wire::{Direction, Message};

use crate::say;

/// Where the lines of all connections go.
#[derive(Clone)]
pub(crate) enum Destination {
    /// Nobody asked for them.
    Nowhere,
    /// All to the same place.
    One(Trace),
    /// A file of its own for each connection: a name with `%d` in it.
    PerConnection(String),
}

/// Where the lines of a connection go. Both of its directions have one.
#[derive(Clone)]
pub(crate) struct Trace(Option<Arc<Mutex<Output>>>);

/// `None` once it has failed.
type Output = Option<BufWriter<Box<dyn Write + Send>>>;

impl Destination {
    /// By the name given, if one is.
    pub(crate) fn open(name: Option<&str>) -> io::Result<Self> {
        Ok(match name {
            None => Self::Nowhere,
            Some("-") => Self::One(Trace::to(io::stdout())),
            Some(name) if name.contains("%d") => Self::PerConnection(name.into()),
            Some(name) => Self::One(Trace::create(name)?),
        })
    }

    /// The one for the connection of this number.
    pub(crate) fn connection(&self, number: u64) -> io::Result<Trace> {
        match self {
            Self::Nowhere => Ok(Trace::NONE),
            Self::One(trace) => Ok(trace.clone()),
            Self::PerConnection(name) => Trace::create(&name.replace("%d", &number.to_string())),
        }
    }
}

impl Trace {
    /// One that nobody sees.
    pub(crate) const NONE: Self = Self(None);

    fn create(name: &str) -> io::Result<Self> {
        let file = File::create(name)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot write {name}: {error}")))?;
        Ok(Self::to(file))
    }

    fn to(output: impl Write + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(BufWriter::new(Box::new(output)))))))
    }

    /// A message.
    #[inline]
    pub(crate) fn message<M: Message + ?Sized>(&self, direction: Direction, message: &M) {
        self.write(|output| writeln!(output, "{}", message.trace(direction)));
    }

    /// The one byte that answers a request for encryption.
    pub(crate) fn answer(&self, name: &str, answer: u8) {
        self.write(|output| writeln!(output, "B\t1\t{name}\t {}", answer.escape_ascii()));
    }

    /// Lets everybody see what has been written so far.
    pub(crate) fn flush(&self) {
        self.write(|output| output.flush());
    }

    /// In line as far as the question whether anybody wants it: mostly nobody does.
    #[inline(always)]
    fn write(&self, line: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>) {
        if let Some(shared) = &self.0 {
            Self::write_to(shared, line);
        }
    }

    /// The first failure is told, and the last thing that is done.
    #[inline(never)]
    fn write_to(
        shared: &Mutex<Output>,
        line: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>,
    ) {
        let mut output: MutexGuard<'_, Output> = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = output.as_mut().map(line) {
            say(format_args!("pg-proxy: the trace ends here: {error}"));
            // What is still in its buffer would fail once more when it is dropped, and be lost without a word.
            *output = None;
        }
    }
}

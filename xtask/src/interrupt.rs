//! Handles SIGINT, SIGTERM and SIGHUP: a signal sets a flag and does not end the process at once, because servers have to be stopped first.

use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The number of the last signal that arrived; 0 if no signal has arrived.
static ARRIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Installs signal handlers: from now on a signal is stored in `ARRIVED` and does not end this process.
pub(crate) fn listen() -> std::io::Result<()> {
    let arrived = ARRIVED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).map_err(std::io::Error::other)?;
        signal_hook::flag::register_usize(signal, Arc::clone(arrived), number)?;
    }
    Ok(())
}

/// The last signal that arrived, if any.
pub(crate) fn arrived() -> Option<Interrupted> {
    match ARRIVED.get()?.load(Ordering::SeqCst) {
        0 => None,
        number => u8::try_from(number).ok().map(Interrupted),
    }
}

/// Returns an error once a signal has arrived. Every loop that waits must call this function, because the signal itself does not end the
/// loop.
pub(crate) fn check() -> Result<(), Interrupted> {
    arrived().map_or(Ok(()), Err)
}

/// The error of an interrupted run, with the number of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted(u8);

impl Interrupted {
    /// Whether the signal is SIGINT, which Ctrl-C sends.
    pub(crate) fn is_sigint(self) -> bool {
        i32::from(self.0) == SIGINT
    }

    /// The exit code that a shell reports for a process that was ended by the signal: 128 plus the signal's number.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(128 | self.0)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i32::from(self.0) {
            SIGINT => f.write_str("interrupted"),
            SIGTERM => f.write_str("terminated"),
            _ => f.write_str("hung up"),
        }
    }
}

impl std::error::Error for Interrupted {}

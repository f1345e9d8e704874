//! Signals that ask us to end, remembered rather than obeyed at once: servers have to be stopped first.

use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The last signal that arrived, 0 for none.
static ARRIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on a signal is noted instead of ending this process.
pub(crate) fn listen() -> std::io::Result<()> {
    let arrived = ARRIVED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).map_err(std::io::Error::other)?;
        signal_hook::flag::register_usize(signal, Arc::clone(arrived), number)?;
    }
    Ok(())
}

/// The signal that arrived, if one did.
pub(crate) fn arrived() -> Option<Interrupted> {
    match ARRIVED.get()?.load(Ordering::SeqCst) {
        0 => None,
        number => u8::try_from(number).ok().map(Interrupted),
    }
}

/// `Err` once a signal has arrived. Whatever waits in a loop asks this.
pub(crate) fn check() -> Result<(), Interrupted> {
    arrived().map_or(Ok(()), Err)
}

/// We were asked to end, by the signal of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted(u8);

impl Interrupted {
    /// Was it Ctrl-C?
    pub(crate) fn is_sigint(self) -> bool {
        i32::from(self.0) == SIGINT
    }

    /// What a shell reports for a process that the signal ended.
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

//! Memory and file descriptors of this process.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::Result;

/// Largest accepted growth of the memory, in bytes. The runtimes and the allocator keep some memory after all connections are closed,
/// independent of the number of connections. With 24 clients, 6 to 10 MB were measured.
const GROWTH: u64 = 16 << 20;

/// Memory and file descriptors of this process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    memory: u64,
    descriptors: usize,
}

impl Usage {
    pub(crate) fn now() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no line VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { memory: kilobytes * 1024, descriptors: fs::read_dir("/proc/self/fd")?.count() })
    }
}

/// Waits, for at most two seconds, until the process has no more file descriptors than in `before`. Without the wait, the process may have
/// more file descriptors: the threads of a runtime may close sockets after the last client has ended.
pub(crate) async fn settled(before: &Usage) -> Usage {
    let mut now = *before;
    for _ in 0..100 {
        now = Usage::now().unwrap_or(now);
        if now.descriptors <= before.descriptors {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    now
}

/// Checks that the process has closed its file descriptors and that its memory has not grown too much. `lists` is the memory of the
/// clients' lists of transactions, in bytes. The memory may grow by `lists` in addition to `GROWTH`.
pub(crate) fn check(before: &Usage, after: &Usage, lists: u64) -> Result<()> {
    // Largest number of file descriptors of the reactor of the runtime `Smol`. The first connection starts the reactor, which then stays.
    const REACTOR: usize = 4;
    if after.descriptors > before.descriptors + REACTOR {
        return Err(
            format!("{} file descriptors were not closed", after.descriptors - before.descriptors).into()
        );
    }
    if after.memory > before.memory + GROWTH + lists {
        return Err(format!("the memory has grown: {before} at the start, {after} at the end").into());
    }
    Ok(())
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MB and {} descriptors", self.memory as f64 / 1e6, self.descriptors)
    }
}

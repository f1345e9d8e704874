//! What has to be asked of a whole process: its highest use of memory, and its calls to the kernel.
//!
//! We start ourselves for one contender of one line. The child finds the replay server that its parent runs in the environment.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::line::{Line, Who};
use crate::sockets::Ends;

/// One contender of one line, to be run in a process of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    /// The other ends, as the parent knows them.
    pub(crate) ends: &'a Ends,
    /// The line.
    pub(crate) line: &'a str,
    /// The contender.
    pub(crate) who: Who,
    /// That part of the full number of operations.
    pub(crate) part: u64,
}

/// Calls to the kernel, an operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// `read` and its kin.
    pub(crate) reads: f64,
    /// `write` and its kin.
    pub(crate) writes: f64,
    /// `epoll_wait`, `poll` and their kin.
    pub(crate) waits: f64,
    /// All others.
    pub(crate) others: f64,
}

impl Child<'_> {
    /// Highest resident memory of a process that does one round, in bytes.
    pub(crate) fn peak(&self) -> Result<u64> {
        let mut command = Command::new(std::env::current_exe()?);
        let output = self.arguments(&mut command, 1).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let kilobytes: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Calls of an operation: what a second and a third round add, over `operations`.
    pub(crate) fn calls(&self, operations: u64) -> Result<Calls> {
        let (one, three) = (self.counted(1)?, self.counted(3)?);
        let each = |before: f64, after: f64| (after - before) / (2 * operations) as f64;
        Ok(Calls {
            reads: each(one.reads, three.reads),
            writes: each(one.writes, three.writes),
            waits: each(one.waits, three.waits),
            others: each(one.others, three.others),
        })
    }

    fn counted(&self, rounds: u64) -> Result<Calls> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-U", "calls,name"]).arg(std::env::current_exe()?);
        let output = self
            .arguments(&mut strace, rounds)
            .output()
            .context("cannot run strace (`apt-get install strace`)")?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{said}");
        let mut calls = Calls::default();
        for line in said.lines() {
            let mut words = line.split_whitespace();
            let (Some(count), Some(name)) =
                (words.next().and_then(|word| word.parse::<f64>().ok()), words.next())
            else {
                continue;
            };
            *match name {
                "read" | "readv" | "recvfrom" | "recvmsg" => &mut calls.reads,
                "write" | "writev" | "sendto" | "sendmsg" => &mut calls.writes,
                "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "poll" | "ppoll" | "select" => {
                    &mut calls.waits
                }
                "total" => continue,
                _ => &mut calls.others,
            } += count;
        }
        Ok(calls)
    }

    fn arguments<'c>(&self, command: &'c mut Command, rounds: u64) -> &'c mut Command {
        command.args(["--child", self.line, "--who", self.who.name()]);
        command.args(["--rounds", &rounds.to_string(), "--part", &self.part.to_string()]);
        command.envs(self.ends.environment()).stdin(Stdio::null())
    }
}

/// What the child does.
pub(crate) fn run(line: Line, who: &str, rounds: u64) -> Result<()> {
    let mut contenders = line.contenders.into_iter();
    let contender = contenders.find(|contender| contender.who.name() == who).context("no such contender")?;
    let (mut round, _) = (contender.prepare)()?;
    for _ in 0..rounds {
        round()?;
    }
    println!("{}", status("VmHWM:")?);
    Ok(())
}

/// A line of `/proc/self/status`, in kilobytes.
pub(crate) fn status(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("/proc has changed")?;
    line.split_whitespace().next().and_then(|word| word.parse().ok()).context("/proc has changed")
}

//! Measures a whole process: its peak memory and its system calls.
//!
//! The benchmark starts itself as a child process, which runs one implementation of one measurement. The parent process runs the replay
//! server. Environment variables contain the addresses of this server.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::line::{Line, Who};
use crate::sockets::Ends;

/// A child process that runs one implementation of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    /// The addresses of the servers that the implementation connects to.
    pub(crate) ends: &'a Ends,
    /// The name of the measurement.
    pub(crate) line: &'a str,
    /// The implementation that is measured.
    pub(crate) who: Who,
    /// The divisor of the number of operations: 8 means that the child process does an eighth of the operations of a full run.
    pub(crate) part: u64,
}

/// The average number of system calls per operation, by kind of system call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// The number of calls of `read`, `recvfrom` and similar functions.
    pub(crate) reads: f64,
    /// The number of calls of `write`, `sendto` and similar functions.
    pub(crate) writes: f64,
    /// The number of calls of `epoll_wait`, `poll` and similar functions.
    pub(crate) waits: f64,
    /// The number of system calls that are not reads, writes or waits.
    pub(crate) others: f64,
}

impl Child<'_> {
    /// Starts a process that runs one round of the work. Returns the process's peak resident memory in bytes.
    pub(crate) fn peak(&self) -> Result<u64> {
        let mut command = Command::new(std::env::current_exe()?);
        let output = self.arguments(&mut command, 1).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let kilobytes: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Counts the system calls per operation. Starts two processes, one with one round of `operations` operations and one with three
    /// rounds. The difference between the two counts is the number of calls in two rounds, because both counts include the calls for
    /// connecting.
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
        let table = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{table}");
        let mut calls = Calls::default();
        for line in table.lines() {
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

/// The main function of the child process: runs `rounds` rounds of one implementation, then prints the process's peak memory in kilobytes.
pub(crate) fn run(line: Line, who: &str, rounds: u64) -> Result<()> {
    let mut contenders = line.contenders.into_iter();
    let contender = contenders
        .find(|contender| contender.who.name() == who)
        .with_context(|| format!("the measurement has no contender {who}"))?;
    let (mut round, _) = (contender.prepare)()?;
    for _ in 0..rounds {
        round()?;
    }
    println!("{}", status("VmHWM:")?);
    Ok(())
}

/// Returns a number of kilobytes from `/proc/self/status`: the number in the line that begins with `name`.
pub(crate) fn status(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("/proc/self/status has no line {name}"))?;
    let number = line.split_whitespace().next().and_then(|word| word.parse().ok());
    number.with_context(|| format!("the line {name} of /proc/self/status has no number"))
}

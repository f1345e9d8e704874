//! Runs the proxies: two in front of each server.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::arguments::Arguments;
use crate::tally::Tally;
use crate::{Result, random::Random};

/// Number of proxies in front of each server. The first proxy injects all kinds of network faults. The second proxy injects no stalls, so
/// that its clients must always receive an answer or an error.
pub(crate) const PER_SERVER: usize = 2;

/// All kinds of faults except stalls. Even without a time limit, a client receives an answer or an error after each of these faults.
const WITHOUT_STALL: &str = "cut,reset,half-close,delay,split";

/// All proxies.
#[derive(Debug)]
pub(crate) struct Proxies(Vec<Proxy>);

/// A proxy, which can be killed and started again on the same port.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Whether the proxy injects stalls.
    pub(crate) stalls: bool,
    program: PathBuf,
    options: Vec<String>,
    child: Mutex<Running>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct Running {
    child: Child,

    seeds: Random,
}

impl Proxies {
    pub(crate) fn start(arguments: &Arguments, tally: &Arc<Tally>) -> Result<Self> {
        let mut proxies = Vec::new();
        for (server, address) in arguments.server.iter().enumerate() {
            for slot in 0..PER_SERVER {
                let seeds = Random::new(arguments.seed ^ ((server * PER_SERVER + slot) as u64) << 48);
                proxies.push(Proxy::start(arguments, *address, slot == 0, seeds, tally)?);
            }
        }
        Ok(Self(proxies))
    }

    /// Returns the proxies in front of this server.
    pub(crate) fn of_server(&self, server: usize) -> &[Proxy] {
        self.0.get(server * PER_SERVER..(server + 1) * PER_SERVER).unwrap_or_default()
    }

    /// Kills a random proxy, and starts it again.
    pub(crate) fn restart(&self, random: &mut Random) -> Result<()> {
        let index = random.below(self.0.len() as u64) as usize;
        self.0.get(index).map_or(Ok(()), Proxy::restart)
    }

    /// Kills all proxies.
    pub(crate) fn stop(&self) {
        for proxy in &self.0 {
            end(&mut proxy.lock().child);
        }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Proxy {
    fn start(
        arguments: &Arguments,
        upstream: SocketAddr,
        stalls: bool,
        mut seeds: Random,
        tally: &Arc<Tally>,
    ) -> Result<Self> {
        let mut options: Vec<String> =
            ["--upstream", &upstream.to_string(), "--fault-rate", &arguments.fault_rate.to_string()]
                .map(String::from)
                .into();
        if !stalls {
            options.extend(["--fault-kinds", WITHOUT_STALL].map(String::from));
        }
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (child, address) = spawn(&arguments.proxy, any, &options, seeds.below(u64::MAX), tally)?;
        let child = Mutex::new(Running { child, seeds });
        Ok(Self {
            address,
            stalls,
            program: arguments.proxy.clone(),
            options,
            child,
            tally: Arc::clone(tally),
        })
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn restart(&self) -> Result<()> {
        let mut running = self.lock();
        end(&mut running.child);

        let seed = running.seeds.below(u64::MAX);
        (running.child, _) = spawn(&self.program, self.address, &self.options, seed, &self.tally)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(child: &mut Child) {
    // Errors mean that the process has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts a proxy, and waits until it listens. Returns the address on which it listens.
fn spawn(
    program: &PathBuf,
    listen: SocketAddr,
    options: &[String],
    seed: u64,
    tally: &Arc<Tally>,
) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(program);
    command.args(["--listen", &listen.to_string(), "--fault-seed", &seed.to_string()]).args(options);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().ok_or("no pipe")?;
    let mut lines = BufReader::new(stderr);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let Some(address) = first.trim().strip_prefix("listening on ") else {
        end(&mut child);
        return Err(format!("{}: {}", program.display(), first.trim()).into());
    };
    let address = address.parse()?;
    let tally = Arc::clone(tally);
    thread::Builder::new().stack_size(128 << 10).spawn(move || count(lines, &tally))?;
    Ok((child, address))
}

/// Counts the faults that a proxy prints. Returns when the proxy ends.
fn count(lines: BufReader<ChildStderr>, tally: &Tally) {
    for line in lines.lines().map_while(std::io::Result::ok) {
        if let Some((_, fault)) = line.split_once(": fault ") {
            tally.fault(fault);
        }
    }
}

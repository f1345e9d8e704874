//! `cargo xtask test`: every test there is, those that need servers too, and one closing line.

mod tally;

use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::servers::Servers;
use crate::{clients, needs, paths, process};
use tally::Tally;

/// Builds and runs the tests; `more` is passed on to `cargo test`.
pub(crate) fn run(more: &[String]) -> Result<ExitCode> {
    let plan = Plan::new(more);
    needs::openssl_headers()?;
    // Before the servers: what does not compile needs none.
    process::succeed(&mut paths::cargo(plan.build()))?;
    let clients = clients::environment()?;
    let servers = Servers::start_for_tests(&clients::server_headers())?;
    let mut tally = Tally::default();
    let mut success = true;
    for mut tests in plan.runs(has_nextest()) {
        let tests = tests.envs(servers.environment()).envs(clients.clone());
        success &= process::echo(tests, |output| tally.read(output))?.success();
    }
    drop(servers);
    if tally.finish() {
        // A program that died in the middle of a line.
        println!();
    }

    let mut verdict = Ok(());
    if tally.ignored > 0 {
        verdict = Err(format!("{} ignored: here every test has to run", tally.ignored));
    }
    if tally.passed + tally.failed == 0 {
        verdict = Err(String::from("no test ran"));
    }
    if !success && tally.failed == 0 {
        verdict = Err(String::from("no test failed, but `cargo test` did"));
    }
    if let Err(sentence) = &verdict {
        eprintln!("xtask: {sentence}");
    }
    println!("tests: {} passed, {} failed", tally.passed, tally.failed);
    Ok(if verdict.is_ok() && success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether cargo-nextest is installed.
fn has_nextest() -> bool {
    process::read(&mut paths::cargo(["nextest", "--version"])).is_ok()
}

/// What `cargo test` is called with.
#[derive(Debug)]
struct Plan<'a> {
    /// Options of cargo's own.
    cargo: &'a [String],
    /// Options of the test programs, which stand after a `--`.
    programs: &'a [String],
}

impl<'a> Plan<'a> {
    fn new(more: &'a [String]) -> Self {
        let end = more.iter().position(|argument| argument == "--").unwrap_or(more.len());
        Self { cargo: &more[..end], programs: more.get(end + 1..).unwrap_or_default() }
    }

    /// Builds every test program without running one.
    fn build(&self) -> Vec<&str> {
        self.common(&["--no-run"])
    }

    /// Runs them all: a failure in one program shall not hide those in the next.
    fn run(&self) -> Vec<&str> {
        let mut arguments = self.common(&["--no-fail-fast"]);
        arguments.extend(["--", "--include-ignored"]);
        if std::io::stdout().is_terminal() {
            // We stand between the programs and the terminal, so they cannot see it.
            arguments.push("--color=always");
        }
        arguments.extend(self.programs.iter().map(String::as_str));
        arguments
    }

    /// The commands that run all tests of the plan. nextest does not run the examples of documentation, and does not take the options
    /// of test programs, so a run with any words of the caller's is left to `cargo test`.
    fn runs(&self, nextest: bool) -> Vec<Command> {
        if !nextest || !self.cargo.is_empty() || !self.programs.is_empty() {
            return vec![paths::cargo(self.run())];
        }
        // nextest reports on standard error, which is not counted.
        let mut run = Command::new("sh");
        run.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).current_dir(paths::root());
        let cargo = paths::cargo(self.nextest());
        run.arg(cargo.get_program()).args(cargo.get_args());
        let doc = paths::cargo(self.common(&["--doc", "--no-fail-fast", "--", "--include-ignored"]));
        vec![run, doc]
    }

    /// Runs every test in a process of its own.
    fn nextest(&self) -> Vec<&str> {
        let mut arguments = vec!["nextest", "run", "--all-features", "--workspace", "--no-fail-fast"];
        arguments.extend(["--run-ignored", "all", "--config-file", "xtask/nextest.toml"]);
        arguments
    }

    fn common(&self, own: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["test", "--all-features"];
        // Beside a package named by the caller it would still mean all of them.
        if !self.cargo.iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
        {
            arguments.push("--workspace");
        }
        arguments.extend(own);
        arguments.extend(self.cargo.iter().map(String::as_str));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn every_test_of_every_package_is_run() {
        let plan = Plan::new(&[]);
        assert_eq!(plan.build().join(" "), "test --all-features --workspace --no-run");
        assert_eq!(
            plan.run()[..6].join(" "),
            "test --all-features --workspace --no-fail-fast -- --include-ignored"
        );
    }

    #[test]
    fn nextest_runs_all_tests_but_documentation_and_no_part_of_them() {
        let words = |command: &std::process::Command| {
            command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let [tests, documentation] = &Plan::new(&[]).runs(true)[..] else { panic!("two commands") };
        assert!(words(tests).contains(" nextest run --all-features --workspace "), "{}", words(tests));
        assert!(words(documentation).contains(" --workspace --doc "), "{}", words(documentation));
        let some = self::words("-p pg-wire");
        let [tests] = &Plan::new(&some).runs(true)[..] else { panic!("one command") };
        assert!(words(tests).starts_with("test --all-features "), "{}", words(tests));
    }

    #[test]
    fn arguments_go_to_cargo_and_after_another_dash_dash_to_the_programs() {
        let more = words("-p pg-wire -- --nocapture");
        let plan = Plan::new(&more);
        assert_eq!(plan.build().join(" "), "test --all-features --no-run -p pg-wire");
        let run = plan.run().join(" ");
        assert!(
            run.starts_with("test --all-features --no-fail-fast -p pg-wire -- --include-ignored"),
            "{run}"
        );
        assert!(run.ends_with("--nocapture"), "{run}");
    }
}

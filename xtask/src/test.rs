//! `cargo xtask test`: runs every test, including the tests that need servers, and prints the number of passed and failed tests.

mod tally;

use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::servers::Servers;
use crate::{clients, needs, packages, paths, process};
use tally::Tally;

/// Builds and runs the tests. `more` are arguments for `cargo test`.
pub(crate) fn run(more: &[String]) -> Result<ExitCode> {
    if !cfg!(target_os = "linux") {
        eprintln!(
            "xtask: servers are started on Linux only; here, the tests of the published packages that need no server are run"
        );
        return process::hand_over(&mut without_servers(more)?);
    }
    let plan = Plan::new(more);
    needs::openssl_headers()?;
    // The build runs first: if it fails, no server has to be started.
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
        // The output of the tests ended in the middle of a line, for example because a test program crashed. The result starts on a new
        // line.
        println!();
    }

    let mut verdict = Ok(());
    if tally.ignored > 0 {
        verdict =
            Err(format!("{} tests were ignored; `cargo xtask test` has to run every test", tally.ignored));
    }
    if tally.passed + tally.failed == 0 {
        verdict = Err(String::from("no test ran"));
    }
    if !success && tally.failed == 0 {
        verdict = Err(String::from("`cargo test` failed, although no test failed"));
    }
    if let Err(sentence) = &verdict {
        eprintln!("xtask: {sentence}");
    }
    println!("tests: {} passed, {} failed", tally.passed, tally.failed);
    Ok(if verdict.is_ok() && success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command for tests on a system other than Linux: the tests of the published packages. The example programs and xtask need Linux.
fn without_servers(more: &[String]) -> Result<Command> {
    let mut tests = paths::cargo(["test", "--all-features"]);
    for package in packages::published()? {
        tests.args(["--package", &package.name]);
    }
    tests.args(more);
    Ok(tests)
}

/// Whether cargo-nextest is installed.
fn has_nextest() -> bool {
    process::read(&mut paths::cargo(["nextest", "--version"])).is_ok()
}

/// The caller's arguments for `cargo test`.
#[derive(Debug)]
struct Plan<'a> {
    /// Options for cargo, which come before `--`.
    cargo: &'a [String],
    /// Options for the test programs, which come after `--`.
    programs: &'a [String],
}

impl<'a> Plan<'a> {
    fn new(more: &'a [String]) -> Self {
        let end = more.iter().position(|argument| argument == "--").unwrap_or(more.len());
        Self { cargo: &more[..end], programs: more.get(end + 1..).unwrap_or_default() }
    }

    /// Arguments to build every test program, but not run them.
    fn build(&self) -> Vec<&str> {
        self.common(&["--no-run"])
    }

    /// Arguments to run every test program. `--no-fail-fast`: the remaining programs run even after a failure.
    fn run(&self) -> Vec<&str> {
        let mut arguments = self.common(&["--no-fail-fast"]);
        arguments.extend(["--", "--include-ignored"]);
        if std::io::stdout().is_terminal() {
            // Test programs use no colours if their output is a pipe. Here the output is a pipe to xtask, and xtask prints the output on
            // the terminal.
            arguments.push("--color=always");
        }
        arguments.extend(self.programs.iter().map(String::as_str));
        arguments
    }

    /// The commands that run all tests: nextest and `cargo test --doc`, or `cargo test` alone.
    ///
    /// nextest is used only if the caller gave no arguments, because its options differ from the options of `cargo test`. nextest does not
    /// run the examples in documentation, so `cargo test --doc` runs them.
    fn runs(&self, nextest: bool) -> Vec<Command> {
        if !nextest || !self.cargo.is_empty() || !self.programs.is_empty() {
            return vec![paths::cargo(self.run())];
        }
        // The shell redirects standard error to standard output: nextest reports on standard error, but `Tally` reads standard output.
        let mut run = Command::new("sh");
        run.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).current_dir(paths::root());
        let cargo = paths::cargo(self.nextest());
        run.arg(cargo.get_program()).args(cargo.get_args());
        let doc = paths::cargo(self.common(&["--doc", "--no-fail-fast", "--", "--include-ignored"]));
        vec![run, doc]
    }

    /// Arguments for nextest, which runs every test in its own process.
    fn nextest(&self) -> Vec<&str> {
        let mut arguments = vec!["nextest", "run", "--all-features", "--workspace", "--no-fail-fast"];
        arguments.extend(["--run-ignored", "all", "--config-file", "xtask/nextest.toml"]);
        arguments
    }

    fn common(&self, own: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["test", "--all-features"];
        // `--workspace` is left out if the caller has selected packages with `-p`, because `--workspace` selects all packages.
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
    fn on_systems_other_than_linux_the_tests_of_the_published_packages_run() {
        let tests = super::without_servers(&words("-- --nocapture")).expect("the packages");
        let line = crate::process::shown(&tests);
        assert!(line.contains(" test --all-features --package pg-wire-derive --package pg-wire "), "{line}");
        assert!(line.ends_with(" -- --nocapture"), "{line}");
        assert!(!line.contains("ignored") && !line.contains("xtask"), "{line}");
    }

    #[test]
    fn without_arguments_all_tests_of_all_packages_run() {
        let plan = Plan::new(&[]);
        assert_eq!(plan.build().join(" "), "test --all-features --workspace --no-run");
        assert_eq!(
            plan.run()[..6].join(" "),
            "test --all-features --workspace --no-fail-fast -- --include-ignored"
        );
    }

    #[test]
    fn nextest_runs_all_tests_except_documentation_and_is_not_used_for_some_tests() {
        let words = |command: &std::process::Command| {
            command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let [tests, documentation] = &Plan::new(&[]).runs(true)[..] else { panic!("two commands") };
        assert!(words(tests).contains(" nextest run --all-features --workspace "), "{}", words(tests));
        assert!(words(documentation).contains(" --workspace --doc "), "{}", words(documentation));
        let arguments = self::words("-p pg-wire");
        let [tests] = &Plan::new(&arguments).runs(true)[..] else { panic!("one command") };
        assert!(words(tests).starts_with("test --all-features "), "{}", words(tests));
    }

    #[test]
    fn arguments_before_a_double_dash_go_to_cargo_and_later_arguments_to_the_test_programs() {
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

//! `cargo xtask fuzz`: runs the fuzz targets of pg-wire and pg-auth with inputs that libFuzzer generates.
//!
//! The targets are in `pg-wire/fuzz` and `pg-auth/fuzz`, which are separate workspaces. New inputs are kept in `target/fuzz`, and reused by
//! the next run.

mod seeds;
mod tools;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{paths, process};

/// The crates with fuzz targets.
const CRATES: [&str; 2] = ["pg-wire/fuzz", "pg-auth/fuzz"];

/// Number of targets that run at the same time.
const AT_ONCE: usize = 2;

/// Maximum length of a generated input in bytes. An input of this length can contain several messages, and is so short that libFuzzer runs
/// thousands of inputs a second.
const LONGEST_INPUT: usize = 4096;

/// Time for each target in `ci`. The default of `cargo xtask fuzz` is a minute; `ci` uses less, so that `ci` stays short.
const SHORT: Duration = Duration::from_secs(20);

/// Seed of the generated inputs in `ci`. With a fixed seed, a second run of `ci` generates the same inputs, so a failure can be repeated.
/// Also, `ci` does not fail only because of new random inputs.
const SEED: u32 = 1;

/// The options of the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The target to run; without a target, all targets run
    target: Option<String>,
    /// Minutes for each target
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// Seconds for each target, instead of minutes
    #[arg(long, conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// Print the names of the targets, and run no target
    #[arg(long)]
    list: bool,
    /// Run the target once with the input in this file, for example to repeat a crash
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Replace each corpus in the work tree by a small set of inputs from the seeds, the found inputs and the corpus itself
    #[arg(long, conflicts_with = "input")]
    minimize: bool,
}

/// Does the task that `options` selects: runs the targets, lists the targets, repeats one input, or minimizes the corpora.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let targets = selected(options.target.as_deref())?;
    if options.list {
        for target in &targets {
            println!("{}\t{}", target.name, target.package);
        }
        return Ok(ExitCode::SUCCESS);
    }
    build(&targets)?;
    if let (Some(input), [target]) = (&options.input, &targets[..]) {
        let input = std::env::current_dir()?.join(input);
        return process::hand_over(target.program()?.arg("-timeout=5").arg(input));
    }
    if options.minimize {
        return minimize(&targets);
    }
    let duration = options.seconds.unwrap_or(60 * options.minutes);
    fuzz(&targets, Duration::from_secs(duration), None)
}

/// The step of `ci`. Checks the format of the fuzz crates, because `cargo fmt --all` leaves these crates out. Replays the corpora without
/// libFuzzer. Then runs each target for a short time.
pub(crate) fn check() -> Result<()> {
    for package in CRATES {
        let manifest = Path::new(package).join("Cargo.toml");
        process::succeed(paths::cargo(["fmt", "--check", "--manifest-path"]).arg(&manifest))?;
        let mut replay = paths::cargo(["test", "--quiet", "--locked", "--manifest-path"]);
        process::succeed(replay.arg(manifest).arg("--target-dir").arg(directory()))?;
    }
    let targets = selected(None)?;
    build(&targets)?;
    if fuzz(&targets, SHORT, Some(SEED))? != ExitCode::SUCCESS {
        bail!("a fuzz target failed");
    }
    Ok(())
}

/// A fuzz target: a function of one of the crates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    name: String,
    /// The directory of the crate that contains the target.
    package: &'static str,
}

impl Target {
    /// The directory in the work tree that contains the inputs of this target (its corpus).
    fn corpus(&self) -> PathBuf {
        paths::root().join(self.package).join("corpus").join(&self.name)
    }

    /// Returns the directory of this target for one kind of libFuzzer's files, such as `found` or `crashes`. Creates the directory if it is
    /// missing.
    fn directory(&self, kind: &str) -> Result<PathBuf> {
        let directory = directory().join(kind).join(&self.name);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(directory)
    }

    /// The program of this target, with the options for every run.
    fn program(&self) -> Result<Command> {
        let program = directory().join(tools::host()?).join("release").join(&self.name);
        let mut command = Command::new(program);
        // The address sanitizer keeps freed memory, by default up to 256 MB, and libFuzzer counts this memory as used. libFuzzer's memory
        // limit is 512 MB. So the sanitizer may keep only 16 MB.
        command.env("ASAN_OPTIONS", "quarantine_size_mb=16:detect_leaks=0").current_dir(paths::root());
        Ok(command)
    }
}

/// The directory of all files that fuzzing writes: compiled programs, found inputs and logs.
fn directory() -> PathBuf {
    paths::target().join("fuzz")
}

/// All targets, or the target with this name.
fn selected(name: Option<&str>) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for package in CRATES {
        let folder = paths::root().join(package).join("fuzz_targets");
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let file = entry?.path();
            if let Some(name) = file.file_stem().and_then(|name| name.to_str()) {
                targets.push(Target { name: name.to_owned(), package });
            }
        }
    }
    targets.sort();
    let Some(name) = name else { return Ok(targets) };
    match targets.iter().find(|target| target.name == name) {
        Some(target) => Ok(vec![target.clone()]),
        None => {
            let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
            bail!("there is no fuzz target \"{name}\"; the targets are {}", names.join(", "))
        }
    }
}

/// Builds the programs of the targets.
fn build(targets: &[Target]) -> Result<()> {
    tools::install()?;
    for package in CRATES {
        let names: Vec<&str> = targets
            .iter()
            .filter(|target| target.package == package)
            .map(|target| target.name.as_str())
            .collect();
        if names.is_empty() {
            continue;
        }
        let mut build = tools::cargo_fuzz();
        build
            .args(["build", "--features", "libfuzzer", "--fuzz-dir", package, "--target-dir"])
            .arg(directory());
        if let ([name], true) = (&names[..], targets.len() == 1) {
            build.arg(name);
        }
        process::succeed(&mut build)?;
    }
    Ok(())
}

/// Runs each target for `duration`, two at a time. Prints one line for each target.
fn fuzz(targets: &[Target], duration: Duration, seed: Option<u32>) -> Result<ExitCode> {
    let waiting: Mutex<VecDeque<&Target>> = Mutex::new(targets.iter().collect());
    let next = || waiting.lock().ok()?.pop_front();
    let work = || {
        let mut failed = 0;
        while let Some(target) = next() {
            let log = target.directory("log")?.join("log");
            let status = fuzz_one(target, duration, seed, &log)?;
            let text = fs::read(&log).with_context(|| log.display().to_string())?;
            let report = report(target, status, &String::from_utf8_lossy(&text));
            println!("{report}");
            failed += usize::from(!status.success());
        }
        anyhow::Ok(failed)
    };
    let results: Vec<Result<usize>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a thread panicked")))
            .collect()
    });
    let failed: usize = results.into_iter().sum::<Result<usize>>()?;
    println!("fuzz: {} targets, {failed} failed", targets.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one target for `duration`. libFuzzer writes its output to the file `log`, and new inputs to a directory in `target/fuzz`.
fn fuzz_one(target: &Target, duration: Duration, seed: Option<u32>, log: &Path) -> Result<ExitStatus> {
    let output = File::create(log).with_context(|| log.display().to_string())?;
    let mut prefix = target.directory("crashes")?.into_os_string();
    prefix.push("/");
    let mut artifacts = std::ffi::OsString::from("-artifact_prefix=");
    artifacts.push(prefix);
    let found = target.directory("found")?;
    let mut run = target.program()?;
    run.args(seed.map(|seed| format!("-seed={seed}")))
        .arg(format!("-max_total_time={}", duration.as_secs()))
        .args(["-rss_limit_mb=512", "-timeout=5", "-print_final_stats=1"])
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(artifacts)
        // libFuzzer writes new inputs to the first directory. From the second directory, the corpus, it only reads.
        .arg(found);
    if target.corpus().is_dir() {
        run.arg(target.corpus());
    }
    run.stderr(output.try_clone()?).stdout(output);
    process::run(&mut run)
}

/// Formats the result of a run for the user. `log` is the output of libFuzzer.
fn report(target: &Target, status: ExitStatus, log: &str) -> String {
    let Target { name, .. } = target;
    let number = |label: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(label))?;
        line.trim_start_matches(':').trim().parse::<u64>().ok()
    };
    if status.success() {
        let runs = number("stat::number_of_executed_units").unwrap_or_default();
        let new = number("stat::new_units_added").unwrap_or_default();
        return format!("{name}: {runs} inputs, {new} of them reach new code");
    }
    // In the output of libFuzzer, the message of a panic follows the line with "panicked at".
    let panic = log.lines().skip_while(|line| !line.contains("panicked at"));
    let panic =
        panic.take_while(|line| !line.starts_with("stack backtrace") && !line.starts_with("==")).take(4);
    let mut report = format!("{name}: FAILED ({status})\n");
    for line in panic {
        report += &format!("    {line}\n");
    }
    let written = log.lines().find_map(|line| line.split_once("Test unit written to "));
    match written {
        Some((_, input)) => {
            report += &format!("    input: {input}\n    repeat: cargo xtask fuzz {name} --input {input}");
        }
        None => {
            report += &format!("    no input was written; the last lines of the output:\n{}", last_lines(log))
        }
    }
    report
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// Replaces each corpus in the work tree by a small set of inputs, which libFuzzer chooses from the seeds, the found inputs, and the corpus
/// itself.
fn minimize(targets: &[Target]) -> Result<ExitCode> {
    let mut all = 0;
    for target in targets {
        let (seeds, found) = (target.directory("seeds")?, target.directory("found")?);
        seeds::write(&target.name, &seeds)?;
        let new = target.directory("minimized")?;
        fs::remove_dir_all(&new)?;
        fs::create_dir_all(&new)?;
        let mut merge = target.program()?;
        // With `-use_counters=0`, an input is kept only if it reaches code that no other input reaches. By default, libFuzzer also counts
        // how often code runs and keeps an input for each number of repetitions of a loop; the corpora are then four times as large.
        merge.args(["-set_cover_merge=1", "-use_counters=0", "-rss_limit_mb=512", "-timeout=5"]);
        merge.arg(format!("-max_len={LONGEST_INPUT}")).args([&new, &seeds, &found]);
        if target.corpus().is_dir() {
            merge.arg(target.corpus());
        }
        let log = File::create(target.directory("log")?.join("merge"))?;
        process::succeed(merge.stderr(log.try_clone()?).stdout(log))?;
        let (mut inputs, mut bytes) = (0, 0);
        let corpus = target.corpus();
        if corpus.is_dir() {
            fs::remove_dir_all(&corpus)?;
        }
        fs::create_dir_all(&corpus)?;
        for entry in fs::read_dir(&new)? {
            let file = entry?;
            bytes += fs::copy(file.path(), corpus.join(file.file_name()))?;
            inputs += 1;
        }
        println!("{}: {inputs} inputs, {bytes} bytes", target.name);
        all += bytes;
    }
    println!("corpora: {all} bytes");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::{Target, report, selected};

    fn target() -> Target {
        Target { name: "frames".into(), package: "pg-wire/fuzz" }
    }

    #[test]
    fn every_target_is_listed_once_and_an_unknown_name_is_an_error() {
        let all = selected(None).expect("the targets");
        let mut names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert_eq!(selected(Some("frames")).expect("a target"), [target()]);
        let error = selected(Some("frame")).expect_err("no target").to_string();
        assert!(error.contains("\"frame\"; the targets are backend, "), "{error}");
    }

    #[test]
    fn the_report_of_a_crash_has_the_input_and_the_command_that_repeats_the_crash() {
        let log = "INFO: Seed: 1\n\
            thread '<unnamed>' panicked at src/frames.rs:7:9:\n\
            assertion failed\n\
            ==1== ERROR: libFuzzer: deadly signal\n\
            artifact_prefix='t/'; Test unit written to t/crash-1\n";
        assert_eq!(
            report(&target(), ExitStatus::from_raw(77 << 8), log),
            "frames: FAILED (exit status: 77)\n    \
            thread '<unnamed>' panicked at src/frames.rs:7:9:\n    assertion failed\n    \
            input: t/crash-1\n    repeat: cargo xtask fuzz frames --input t/crash-1"
        );
    }

    #[test]
    fn the_report_of_a_success_has_the_number_of_inputs() {
        let log = "stat::number_of_executed_units: 123\nstat::new_units_added:          4\n";
        let report = report(&target(), ExitStatus::from_raw(0), log);
        assert_eq!(report, "frames: 123 inputs, 4 of them reach new code");
    }
}

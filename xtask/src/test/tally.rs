//! Counts the passed, failed and ignored tests in the output of test programs.

/// The sum of the counts in all result lines so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The number of tests that passed.
    pub(super) passed: u64,
    /// The number of tests that failed.
    pub(super) failed: u64,
    /// The number of tests that were ignored.
    pub(super) ignored: u64,
    /// The beginning of a line whose end has not been read yet.
    line: Vec<u8>,
}

impl Tally {
    /// Reads the next piece of output, which may end in the middle of a line.
    pub(super) fn read(&mut self, output: &[u8]) {
        for piece in output.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.finish();
            }
        }
    }

    /// Adds the numbers of tests in the current line to the counts, then clears the line. Returns whether the line had any bytes.
    pub(super) fn finish(&mut self) -> bool {
        if self.line.is_empty() {
            return false;
        }
        let line = String::from_utf8_lossy(&self.line);
        if let Some([passed, failed, ignored]) = result(&line).or_else(|| summary(&line)) {
            self.passed += passed;
            self.failed += failed;
            self.ignored += ignored;
        }
        self.line.clear();
        true
    }
}

/// The numbers of passed, failed and ignored tests in a line of `cargo test` such as
/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn result(line: &str) -> Option<[u64; 3]> {
    let counts = line.strip_prefix("test result: ")?;
    let count = |label: &str| {
        let (before, _) = counts.split_once(label)?;
        before.rsplit(' ').next()?.parse().ok()
    };
    Some([count(" passed;")?, count(" failed;")?, count(" ignored;")?])
}

/// The numbers of passed, failed and skipped tests in the last line of nextest, such as
/// `     Summary [  61.812s] 903 tests run: 901 passed (2 slow), 1 failed, 1 timed out, 0 skipped`.
fn summary(line: &str) -> Option<[u64; 3]> {
    let (_, counts) = line.trim_start().strip_prefix("Summary [")?.split_once("] ")?;
    let (run, counts) = counts.split_once(" run: ")?;
    // If the run was stopped early, the line has `3/7 tests run`: 3 of 7 tests have run.
    let run: u64 = run.split([' ', '/']).next()?.parse().ok()?;
    let count = |label: &str| {
        let mut parts = counts.split(", ").map(str::trim_end);
        parts.find_map(|part| part.split_once(label)?.0.parse().ok()).unwrap_or(0)
    };
    let passed = count(" passed");
    Some([passed, run.checked_sub(passed)?, count(" skipped")])
}

#[cfg(test)]
mod tests {
    use super::{Tally, result, summary};

    #[test]
    fn the_summary_of_nextest_gives_its_counts_and_a_timeout_is_a_failure() {
        for (line, counts) in [
            ("     Summary [   0.005s] 3 tests run: 3 passed, 0 skipped\n", [3, 0, 0]),
            (
                "     Summary [  61.812s] 903 tests run: 901 passed (2 slow), 1 failed, 1 timed out, 4 skipped\n",
                [901, 2, 4],
            ),
            ("     Summary [   0.005s] 3/7 tests run: 1 passed, 2 failed, 0 skipped\n", [1, 2, 0]),
        ] {
            assert_eq!(summary(line), Some(counts), "{line}");
        }
        assert_eq!(summary("        PASS [   0.005s] xtask tests::summary"), None);
    }

    #[test]
    fn a_result_line_gives_its_three_counts() {
        let line = "test result: FAILED. 13 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s";
        assert_eq!(result(line), Some([13, 2, 1]));
    }

    #[test]
    fn a_result_line_with_colours_is_counted() {
        let line = "test result: \x1b[32mok\x1b(B\x1b[m. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(result(line), Some([3, 0, 0]));
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in
            ["test it ... ok", "", "test result: ok.", "a test result: ok. 1 passed; 0 failed; 0 ignored;"]
        {
            assert_eq!(result(line), None, "{line}");
        }
    }

    #[test]
    fn lines_may_arrive_in_pieces_of_any_size() {
        let output = b"running 1 test\ntest result: ok. 1 passed; 0 failed; 2 ignored; 0 measured\n\n\
            test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured";
        for size in 1..=output.len() {
            let mut tally = Tally::default();
            output.chunks(size).for_each(|piece| tally.read(piece));
            tally.finish();
            assert_eq!([tally.passed, tally.failed, tally.ignored], [4, 4, 2], "pieces of {size}");
        }
    }
}

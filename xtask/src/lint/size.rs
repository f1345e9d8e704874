//! Rule: a source file has at most 600 lines without its tests.

use crate::lint::finding::Finding;
use crate::lint::source::Source;

/// Maximum number of lines of a source file, without the items under `#[cfg(test)]`.
const MOST_LINES: usize = 600;

/// Reports each file with more than `MOST_LINES` lines.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let lengths = sources.iter().map(|source| (source, source.lines_without_tests()));
    let too_long = lengths.filter(|(_, lines)| *lines > MOST_LINES);
    too_long
        .map(|(source, lines)| {
            let wrong = format!("{lines} lines without tests; a source file has at most {MOST_LINES}");
            Finding::new(
                &source.path,
                1,
                wrong,
                "split the file: move a part that can be understood alone to a separate file",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::lint::source::Source;

    #[test]
    fn a_file_with_more_than_600_lines_fails_and_its_tests_do_not_count() {
        let source = |text: String| [Source::parse("a.rs", &text).expect("valid")];
        let long = "fn f() {}\n".repeat(600);
        assert_eq!(check(&source(format!("{long}#[cfg(test)]\nmod tests {{\n{long}}}\n"))), []);
        let [finding] = &check(&source(format!("{long}fn f() {{}}\n")))[..] else { panic!("one finding") };
        assert_eq!((finding.file.as_str(), finding.line), ("a.rs", 1));
        assert!(finding.wrong.starts_with("601 lines"), "{finding}");
    }
}

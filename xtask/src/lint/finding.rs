//! The faults that `lint` reports.

use std::fmt;

/// One fault in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// The path of the file, from the root of the workspace.
    pub(super) file: String,
    pub(super) line: usize,
    /// A description of the fault.
    pub(super) wrong: String,
    /// An instruction that removes the fault.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn new(file: &str, line: usize, wrong: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, wrong: wrong.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.file, self.line, self.wrong, self.remedy)
    }
}

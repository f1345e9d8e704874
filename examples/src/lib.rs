//! Small programs that people would really run.

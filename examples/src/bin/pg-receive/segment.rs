//! Segments of the WAL: their sizes, positions and file names.

use pg_wire::replication::Lsn;

/// Size of the WAL segments of a server, `wal_segment_size`: a power of two from 1 MB to 1 GB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentSize(u64);

const MEGABYTE: u64 = 1 << 20;

impl SegmentSize {
    /// Parses the answer of `SHOW wal_segment_size`, such as `16MB` or `1GB`.
    pub(crate) fn parse(setting: &str) -> Option<Self> {
        let (number, unit) = setting.split_at_checked(setting.len().checked_sub(2)?)?;
        let unit = match unit {
            "MB" => MEGABYTE,
            "GB" => MEGABYTE << 10,
            _ => return None,
        };
        let bytes = number.parse::<u64>().ok()?.checked_mul(unit)?;
        let is_valid = bytes.is_power_of_two() && (MEGABYTE..=MEGABYTE << 10).contains(&bytes);
        is_valid.then_some(Self(bytes))
    }

    /// Returns the size of a segment in bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the start of the segment that contains this position.
    pub(crate) fn begin(self, position: Lsn) -> Lsn {
        Lsn(position.0 - self.offset(position))
    }

    /// Returns the offset of this position in its segment.
    pub(crate) fn offset(self, position: Lsn) -> u64 {
        position.0 % self.0
    }

    /// Returns the file name of the segment that contains this position.
    pub(crate) fn name(self, timeline: u32, position: Lsn) -> String {
        let number = position.0 / self.0;
        let in_file = self.in_logical_file();
        format!("{timeline:08X}{:08X}{:08X}", number / in_file, number % in_file)
    }

    /// Parses the file name of a segment. Returns the timeline and the start position of the segment.
    pub(crate) fn parse_name(self, name: &str) -> Option<(u32, Lsn)> {
        let is_name = name.len() == 24 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        let part = |at: usize| u32::from_str_radix(name.get(at..at + 8)?, 16).ok();
        let (timeline, file, segment) = (part(0)?, u64::from(part(8)?), u64::from(part(16)?));
        let is_name = is_name && timeline > 0 && segment < self.in_logical_file();
        is_name.then_some((timeline, Lsn((file << 32) | (segment * self.0))))
    }

    /// Number of segments in 4 GB of WAL. The last eight digits of a segment's file name count the segments within 4 GB, from 0.
    fn in_logical_file(self) -> u64 {
        (1 << 32) / self.0
    }
}

/// Returns the file name of the history of a timeline.
pub(crate) fn history_name(timeline: u32) -> String {
    format!("{timeline:08X}.history")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_size_is_parsed() {
        for (setting, bytes) in [("1MB", 1 << 20), ("16MB", 16 << 20), ("1GB", 1 << 30)] {
            assert_eq!(SegmentSize::parse(setting), Some(SegmentSize(bytes)));
        }
        for wrong in ["", "MB", "16", "16kB", "3MB", "2GB", "0MB", "-1MB", "é"] {
            assert_eq!(SegmentSize::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn names_are_written_and_parsed() {
        let size = SegmentSize(16 << 20);
        for (position, name) in [
            (0x100_0000, "000000010000000000000001"),
            (0xff00_0000, "0000000100000000000000FF"),
            (0x1_0000_0000, "000000010000000100000000"),
        ] {
            assert_eq!(size.name(1, Lsn(position + 5)), name);
            assert_eq!(size.parse_name(name), Some((1, Lsn(position))));
        }
        assert_eq!(SegmentSize(1 << 30).name(0xab, Lsn(0x2_4000_0000)), "000000AB0000000200000001");
        for wrong in [
            "00000001000000000000000",
            "0000000100000000000000011",
            "00000001000000000000000g",
            "0000000100000000000000ff",
            "000000010000000000000100",
            "000000000000000000000001",
            "+00000010000000000000001",
        ] {
            assert_eq!(size.parse_name(wrong), None, "{wrong}");
        }
    }
}

//! Random faults.

use core::time::Duration;

use alloc::vec::Vec;

use crate::codec::message::Direction;
use crate::testing::faults::fault::{Action, Copies, Fault, FaultKind, Lie, Place, Which};
use crate::testing::faults::table::FaultTable;

impl FaultTable {
    /// Creates a table with `count` random faults of the given kinds. The same arguments give the same table.
    ///
    /// Each fault is at one of the first `messages` messages of a side. Faults of some kinds can also be at a byte. The byte is one of the
    /// first `32 * messages` bytes of a side. A pause takes at most 200 ms. Without kinds, or with `messages` 0, the table is empty.
    ///
    /// ```
    /// use pg_wire::testing::{FaultKind, FaultTable};
    ///
    /// let table = FaultTable::random(7, &FaultKind::NETWORK, 3, 100);
    /// assert_eq!(table.faults().len(), 3);
    /// assert_eq!(table, FaultTable::random(7, &FaultKind::NETWORK, 3, 100));
    /// // Parsing the text of a table returns the same table.
    /// assert_eq!(table, table.to_string().parse()?);
    /// # Ok::<_, pg_wire::testing::FaultTableError>(())
    /// ```
    pub fn random(seed: u64, kinds: &[FaultKind], count: usize, messages: u64) -> Self {
        let mut random = Random(seed);
        let faults = (0..count).filter_map(|_| random.fault(kinds, messages));
        Self { faults: faults.collect::<Vec<_>>() }
    }
}

/// Generator of pseudo-random numbers (SplitMix64). Every number can be the seed. Even the seeds 0, 1, 2, … give unrelated sequences.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`. Precondition: `limit` is not 0. The numbers are almost uniformly distributed: for limits below 2^44,
    /// the modulo makes small numbers more frequent by less than 1 in a million.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Returns a number from `least` to `most`.
    fn size(&mut self, least: u64, most: u64) -> usize {
        usize::try_from(least + self.below(most - least + 1)).unwrap_or(usize::MAX)
    }

    fn lie(&mut self) -> Lie {
        let number = i64::try_from(1 + self.below(1000)).unwrap_or(1);
        match self.below(3) {
            0 => Lie::To(number - 1),
            1 => Lie::By(number),
            _ => Lie::By(-number),
        }
    }

    fn fault(&mut self, kinds: &[FaultKind], messages: u64) -> Option<Fault> {
        let kind = *kinds.get(self.size(0, (kinds.len() as u64).checked_sub(1)?))?;
        let last = messages.checked_sub(1)?;
        let sender = if self.below(2) == 0 { Direction::Frontend } else { Direction::Backend };
        let at_message = kind.needs_message() || self.below(2) == 0;
        let (place, at) = if at_message {
            (Place::Message(Which::Any, Some(self.below(messages) + 1)), self.size(0, 24))
        } else {
            (Place::Byte(self.below(last.saturating_mul(32) + 1)), 0)
        };
        let action = match kind {
            FaultKind::Cut => Action::Cut { at },
            FaultKind::Reset => Action::Reset { at },
            FaultKind::HalfClose => Action::HalfClose { at },
            FaultKind::Stall => Action::Stall { at },
            FaultKind::Delay => Action::Delay { time: Duration::from_millis(1 + self.below(200)), at },
            FaultKind::Corrupt => Action::Corrupt { bytes: self.size(1, 4), at },
            FaultKind::Split => Action::Split { size: self.size(1, 16) },
            FaultKind::Duplicate => Action::Duplicate,
            FaultKind::Swap => Action::Swap,
            FaultKind::Flood => Action::Flood(Copies::Number(1 + self.below(1000))),
            FaultKind::Length => Action::Length(self.lie()),
            FaultKind::Count => Action::Count(self.lie()),
        };
        Some(Fault { sender, place, action })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_gives_a_different_table_and_each_table_equals_its_parsed_text() {
        let mut seen = Vec::new();
        for seed in 0..200 {
            let table = FaultTable::random(seed, &FaultKind::ALL, 4, 50);
            assert_eq!(table.to_string().parse().as_ref(), Ok(&table), "{table}");
            assert!(!seen.contains(&table), "{table}");
            seen.push(table);
        }
        for kind in FaultKind::ALL {
            for sender in [Direction::Frontend, Direction::Backend] {
                let all = seen.iter().flat_map(FaultTable::faults);
                assert!(
                    all.clone().any(|fault| (fault.kind(), fault.sender()) == (kind, sender)),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn only_the_given_kinds_are_in_a_table_and_no_kinds_give_no_faults() {
        let table = FaultTable::random(3, &[FaultKind::Stall, FaultKind::Swap], 100, 1);
        assert!(
            table.faults().iter().all(|fault| matches!(fault.kind(), FaultKind::Stall | FaultKind::Swap))
        );
        assert_eq!(table.faults().len(), 100);
        assert_eq!(FaultTable::random(3, &[], 100, 1), FaultTable::default());
        assert_eq!(FaultTable::random(3, &FaultKind::ALL, 100, 0), FaultTable::default());
    }
}

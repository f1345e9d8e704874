//! A sum over all received values. If the sums of all compared implementations are equal, every implementation has read every value.

/// The sum so far. A NULL adds a constant; any other value adds its length and its first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touch(u64);

impl Touch {
    /// Adds a value to the sum; `None` is NULL.
    #[inline(always)]
    pub(crate) fn value(&mut self, value: Option<&[u8]>) {
        self.0 = match value {
            None => self.0.wrapping_add(1 << 48),
            Some(value) => self.bytes(value),
        };
    }

    /// Returns the sum plus the length and the first byte of a value.
    #[inline(always)]
    fn bytes(self, value: &[u8]) -> u64 {
        let first = value.first().copied().unwrap_or_default();
        self.0.wrapping_add((value.len() as u64) << 8).wrapping_add(u64::from(first))
    }

    /// The sum as a number.
    #[inline]
    pub(crate) fn sum(self) -> u64 {
        self.0
    }
}

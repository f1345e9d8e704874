//! What is done with every value, so that nobody can leave one out.

/// Looks at values: how many are NULL, how long the others are, and what they begin with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touch(u64);

impl Touch {
    /// Looks at one.
    #[inline(always)]
    pub(crate) fn value(&mut self, value: Option<&[u8]>) {
        self.0 = match value {
            None => self.0.wrapping_add(1 << 48),
            Some(value) => self.bytes(value),
        };
    }

    /// Looks at the bytes of one.
    #[inline(always)]
    fn bytes(self, value: &[u8]) -> u64 {
        let first = value.first().copied().unwrap_or_default();
        self.0.wrapping_add((value.len() as u64) << 8).wrapping_add(u64::from(first))
    }

    /// What was seen.
    #[inline]
    pub(crate) fn sum(self) -> u64 {
        self.0
    }
}

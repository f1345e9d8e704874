//! Decides how often a large buffer is freed.

/// Maximum number of counted waits between two waits that free the buffer; see [`Backoff`].
const LONGEST: u8 = 63;

/// Decides when a connection that waits for the peer frees a large buffer. A wait in the middle of a transfer should not free the buffer,
/// because the transfer needs the buffer again.
///
/// - A wait counts only if the buffer has been used since the last counted wait. So repeated polls during one wait count as one wait.
/// - The first counted wait with a large buffer frees the buffer.
/// - After that, some counted waits with a large buffer are skipped each time before the buffer is freed again: first 1 wait, then 3 waits,
///   then 7, and so on up to 63.
/// - A counted wait with a small buffer halves the number of waits to skip.
///
/// So a steady transfer allocates rarely, and a large buffer is freed after at most 64 counted waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    /// Number of counted waits that are still to be skipped before the buffer is freed again.
    left: u8,
    /// Number of counted waits to skip after the buffer has been freed. Each counted wait with a small buffer halves this number. Each time
    /// the buffer is freed, this number is doubled and increased by one, up to [`LONGEST`].
    skip: u8,
    /// Whether the buffer was used since the last counted wait.
    used: bool,
}

impl Backoff {
    /// Records that the buffer has been used.
    #[inline]
    pub(crate) fn used(&mut self) {
        self.used = true;
    }

    /// Reports a wait. Returns whether the buffer must be freed. If `always` is true, every large buffer must be freed, and the rules for
    /// counted waits do not apply.
    pub(crate) fn is_due(&mut self, is_large: bool, always: bool) -> bool {
        if always {
            return is_large;
        }
        if !core::mem::take(&mut self.used) {
            return false;
        }
        if !is_large {
            self.skip /= 2;
            self.left = self.left.min(self.skip);
            return false;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                false
            }
            None => {
                self.skip = (2 * self.skip + 1).min(LONGEST);
                self.left = self.skip;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn releases(backoff: &mut Backoff, occasions: &[bool]) -> Vec<usize> {
        let due = |(at, is_large): (usize, &bool)| {
            backoff.used();
            backoff.is_due(*is_large, false).then_some(at)
        };
        occasions.iter().enumerate().filter_map(due).collect()
    }

    #[test]
    fn a_buffer_that_is_always_large_is_freed_more_and_more_rarely() {
        let due = releases(&mut Backoff::default(), &[true; 300]);
        assert_eq!(due, [0, 2, 6, 14, 30, 62, 126, 190, 254]);
    }

    #[test]
    fn small_buffers_make_the_next_release_earlier() {
        let mut backoff = Backoff::default();
        releases(&mut backoff, &[true; 300]);
        assert!(releases(&mut backoff, &[false; 6]).is_empty());
        assert_eq!(releases(&mut backoff, &[true]), [0]);
    }

    #[test]
    fn a_repeated_poll_of_the_same_wait_does_not_count() {
        let mut backoff = Backoff::default();
        assert_eq!(releases(&mut backoff, &[true; 2]), [0]);
        assert!(!backoff.is_due(true, false));
        assert_eq!(releases(&mut backoff, &[true]), [0]);
    }
}

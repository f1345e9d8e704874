//! The queue of requests that have received no reply.

use alloc::collections::VecDeque;

use super::request::Request;

/// Requests in the order in which they were sent. Repeated requests are stored as a run, which is a pattern and a count. For example, one
/// run of 24 bytes stores a million repetitions of Bind, Execute and Sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    runs: VecDeque<Run>,
    len: u64,
    /// Number of requests in the queue whose last reply is ReadyForQuery.
    ready: u64,
}

/// A run: a pattern of up to 16 requests, which is repeated. The requests of the run are `pattern[(at + n) % width]` for `n` in `0..left`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The pattern, with four bits for each request. The first request is in the lowest bits.
    pattern: u64,
    left: u64,
    width: u8,
    at: u8,
}

/// Maximum number of requests in the pattern of a run: 16 requests of four bits fill a `u64`.
const WIDEST: u8 = 16;

impl Run {
    fn get(&self, n: u64) -> Request {
        // `place` is at most 15, because `width` is at most 16. So the shift stays within the 64 bits of the pattern.
        let place = (u64::from(self.at) + n) % u64::from(self.width);
        Request::from_index((self.pattern >> (4 * place) & 0xf) as u8)
    }

    /// Appends a request if it fits into this run. Returns whether the request was appended.
    fn push(&mut self, request: Request) -> bool {
        if self.get(self.left) == request {
            self.left += 1;
            return true;
        }
        if self.left >= u64::from(WIDEST) {
            return false;
        }
        // The run has fewer than `WIDEST` requests. So a pattern can hold all requests of the run and the new request.
        let mut pattern = 0;
        for n in 0..self.left {
            pattern |= (self.get(n) as u64) << (4 * n);
        }
        pattern |= (request as u64) << (4 * self.left);
        let left = self.left + 1;
        *self = Self { pattern, left, width: left as u8, at: 0 };
        true
    }

    /// Returns how many of the first `count` requests of the run have ReadyForQuery as their last reply.
    fn ready(&self, count: u64) -> u64 {
        let width = u64::from(self.width);
        let among =
            |range: core::ops::Range<u64>| range.filter(|&n| self.get(n).ends_with_ready()).count() as u64;
        (count / width) * among(0..width) + among(0..count % width)
    }

    fn skip(&mut self, count: u64) {
        self.left -= count;
        self.at = ((u64::from(self.at) + count) % u64::from(self.width)) as u8;
    }
}

impl Queue {
    /// Appends a request. Returns false and appends nothing if the queue would then have more than `most` runs (groups of repeated
    /// requests).
    pub(super) fn push(&mut self, request: Request, most: usize) -> bool {
        let fits = self.runs.back_mut().is_some_and(|run| run.push(request));
        if !fits {
            if self.runs.len() >= most {
                return false;
            }
            self.runs.push_back(Run { pattern: request as u64, left: 1, width: 1, at: 0 });
        }
        self.len += 1;
        self.ready += u64::from(request.ends_with_ready());
        true
    }

    pub(super) fn front(&self) -> Option<Request> {
        self.runs.front().map(|run| run.get(0))
    }

    pub(super) fn pop(&mut self) -> Option<Request> {
        let front = self.front()?;
        self.drop_front(1);
        Some(front)
    }

    /// Drops requests from the front of the queue up to the first Sync. The Sync stays in the queue. Returns the number of dropped
    /// requests.
    pub(super) fn drop_until_sync(&mut self) -> u64 {
        let mut dropped = 0;
        while let Some(run) = self.runs.front() {
            let found = (0..run.left.min(run.width.into())).find(|&n| run.get(n) == Request::Sync);
            let count = found.unwrap_or(run.left);
            dropped += count;
            self.drop_front(count);
            if found.is_some() {
                break;
            }
        }
        dropped
    }

    /// Drops the first `count` requests of the first run. Precondition: the run has at least `count` requests.
    fn drop_front(&mut self, count: u64) {
        let Some(run) = self.runs.front_mut() else { return };
        self.len -= count;
        self.ready -= run.ready(count);
        run.skip(count);
        if run.left == 0 {
            self.runs.pop_front();
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the number of requests in the queue whose last reply is ReadyForQuery.
    pub(super) fn ready(&self) -> u64 {
        self.ready
    }

    /// Returns the first request that is not a Sync, and its index in the queue.
    pub(super) fn first_but_sync(&self) -> Option<(u64, Request)> {
        let mut place = 0;
        for run in &self.runs {
            for n in 0..run.left.min(run.width.into()) {
                let request = run.get(n);
                if request != Request::Sync {
                    return Some((place + n, request));
                }
            }
            place += run.left;
        }
        None
    }

    /// Returns the last request that is not a CopyEnd. Ignores the first `from` requests of the queue.
    pub(super) fn last_request(&self, from: u64) -> Option<Request> {
        let mut end = self.len;
        for run in self.runs.iter().rev() {
            let start = end - run.left;
            for n in (run.left.saturating_sub(run.width.into())..run.left).rev() {
                if start + n < from {
                    return None;
                }
                let request = run.get(n);
                if request != Request::CopyEnd {
                    return Some(request);
                }
            }
            end = start;
        }
        None
    }

    /// Returns the number of runs, which are groups of repeated requests. A run takes 24 bytes. The queue does not shrink: its memory is at
    /// most twice the memory of the largest number of runs so far.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const STATEMENT: [Request; 4] = [Request::Bind, Request::DescribePortal, Request::Execute, Request::Sync];

    fn push_all<'a>(queue: &mut Queue, requests: impl IntoIterator<Item = &'a Request>) {
        for &request in requests {
            assert!(queue.push(request, usize::MAX));
        }
    }

    #[test]
    fn a_million_equal_statements_need_at_most_two_runs() {
        let mut queue = Queue::default();
        push_all(&mut queue, [Request::Parse].iter().chain(&STATEMENT));
        for _ in 0..1_000_000 {
            push_all(&mut queue, &STATEMENT);
        }
        // The queue may have two runs, because the Parse at the beginning is not repeated.
        assert!(queue.runs() <= 2, "{} runs", queue.runs());
        assert_eq!((queue.len(), queue.ready()), (4_000_005, 1_000_001));
        let all: Vec<Request> = core::iter::from_fn(|| queue.pop()).take(13).collect();
        assert_eq!(all[1..13], [STATEMENT, STATEMENT, STATEMENT].concat());
    }

    #[test]
    fn a_pattern_that_begins_with_a_repetition_is_found() {
        use Request::{Bind, Execute, Parse, Query, Sync};
        for pattern in
            [&[Parse, Parse, Query, Query][..], &[Sync, Sync, Bind], &[Bind, Execute, Bind, Execute, Sync]]
        {
            let mut queue = Queue::default();
            for _ in 0..10_000 {
                push_all(&mut queue, pattern);
            }
            assert!(queue.runs() <= 2, "{} runs of {pattern:?}", queue.runs());
        }
    }

    #[test]
    fn a_request_over_the_bound_is_not_appended() {
        let mut queue = Queue::default();
        // This pseudo-random sequence has no repetition that a run could store.
        let sequence =
            (0u64..).flat_map(|n| (0..64).map(move |bit| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> bit & 7));
        let pushed = sequence
            .map(|n| Request::from_index(n as u8))
            .take_while(|&request| queue.push(request, 4))
            .count();
        assert_eq!((queue.runs(), queue.len()), (4, pushed as u64));
        assert!((64..1_000).contains(&pushed), "{pushed}");
    }

    proptest! {
        /// Checks that the queue and a plain list have the same items after the same random steps.
        #[test]
        fn a_queue_has_the_same_items_as_a_plain_list(steps in prop::collection::vec((0u8..15, 1usize..40), 0..60)) {
            let (mut queue, mut list) = (Queue::default(), VecDeque::new());
            for (step, count) in steps {
                match step {
                    12 => (0..count).for_each(|_| assert_eq!(queue.pop(), list.pop_front())),
                    13 => {
                        let until = list.iter().position(|&request| request == Request::Sync);
                        let dropped = until.unwrap_or(list.len());
                        list.drain(..dropped);
                        prop_assert_eq!(queue.drop_until_sync(), dropped as u64);
                    }
                    14 => for _ in 0..count {
                        push_all(&mut queue, &STATEMENT);
                        list.extend(STATEMENT);
                    },
                    index => for _ in 0..count % 4 {
                        push_all(&mut queue, &[Request::from_index(index)]);
                        list.push_back(Request::from_index(index));
                    },
                }
                prop_assert_eq!(queue.front(), list.front().copied());
                prop_assert_eq!(queue.len(), list.len() as u64);
                prop_assert_eq!(queue.ready(), list.iter().filter(|request| request.ends_with_ready()).count() as u64);
                let first = list.iter().position(|&request| request != Request::Sync);
                prop_assert_eq!(queue.first_but_sync(), first.map(|place| (place as u64, list[place])));
                let last = |from| list.iter().skip(from).rfind(|&&request| request != Request::CopyEnd).copied();
                prop_assert_eq!(queue.last_request(0), last(0));
                prop_assert_eq!(queue.last_request(count as u64), last(count));
            }
        }
    }
}

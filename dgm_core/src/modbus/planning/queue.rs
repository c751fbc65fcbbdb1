//! Jobs by time, the earliest first: a binary heap that knows where each job stands, so that one can be moved or removed.
//!
//! Every job is in it at most once, so it never grows beyond the jobs it was made for, and nothing is allocated in use.
use crate::units::Micros;

/// Jobs, each with a time; among equal times the lower job first.
#[derive(Clone, Debug, Default)]
pub struct TimeQueue {
    heap: Vec<(Micros, usize)>,
    /// By job: its position in the heap.
    places: Vec<Option<usize>>,
}

impl TimeQueue {
    /// Room for jobs up to `jobs`, not included.
    pub fn reserve(&mut self, jobs: usize) {
        if self.places.len() < jobs {
            self.places.resize(jobs, None);
        }
        self.heap.reserve(jobs.saturating_sub(self.heap.len()));
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Jobs that it holds without growing.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.heap.capacity()
    }

    /// The earliest.
    pub fn peek(&self) -> Option<(Micros, usize)> {
        self.heap.first().copied()
    }

    /// Queues a job, or moves it to another time. A job without room is not queued.
    pub fn put(&mut self, job: usize, at: Micros) {
        self.remove(job);
        if job < self.places.len() {
            self.heap.push((at, job));
            self.rise(self.heap.len() - 1);
        }
    }

    /// Takes the earliest out.
    pub fn pop(&mut self) -> Option<(Micros, usize)> {
        let first = self.peek()?;
        self.remove(first.1);
        Some(first)
    }

    /// Takes a job out, if it is queued.
    pub fn remove(&mut self, job: usize) {
        let Some(at) = self.places.get_mut(job).and_then(Option::take) else { return };
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            let at = self.rise(at);
            self.sink(at);
        }
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while at > 0 && self.key(at) < self.key((at - 1) / 2) {
            self.heap.swap(at, (at - 1) / 2);
            self.mark(at);
            at = (at - 1) / 2;
        }
        self.mark(at);
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let lower = if right < self.heap.len() && self.key(right) < self.key(left) { right } else { left };
            if lower >= self.heap.len() || self.key(at) <= self.key(lower) {
                break;
            }
            self.heap.swap(at, lower);
            self.mark(at);
            at = lower;
        }
        self.mark(at);
    }

    fn key(&self, at: usize) -> Option<&(Micros, usize)> {
        self.heap.get(at)
    }

    fn mark(&mut self, at: usize) {
        if let Some((_, job)) = self.heap.get(at) {
            if let Some(place) = self.places.get_mut(*job) {
                *place = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_hands_out_what_a_sorted_set_would(
            steps in prop::collection::vec((0usize..20, 0i64..50, 0u8..3), 0..200),
        ) {
            let (mut queue, mut model) = (TimeQueue::default(), BTreeSet::new());
            queue.reserve(20);
            for (job, at, step) in steps {
                match step {
                    0 | 1 => {
                        model.retain(|(_, known)| *known != job);
                        model.insert((Micros::new(at), job));
                        queue.put(job, Micros::new(at));
                    }
                    _ if at % 2 == 0 => {
                        model.retain(|(_, known)| *known != job);
                        queue.remove(job);
                    }
                    _ => prop_assert_eq!(queue.pop(), model.pop_first()),
                }
                prop_assert_eq!(queue.peek(), model.first().copied());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }
}

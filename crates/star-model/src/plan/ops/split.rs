//! Cutting an operation into tasks for a team of threads.

/// Multiplications below which waking a second thread costs more than it saves: some 30 microseconds of work.
const WORTH_SHARING: usize = 4_000_000;

/// How work over `items` pixels or tiles and `panels` panels is cut into tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    /// Parts of the items.
    blocks: usize,
    /// Parts of the panels.
    groups: usize,
}

impl Split {
    /// Blocks of at most `most` items, as many as fill the threads evenly; panels are shared out only where there are
    /// not enough items for that.
    pub(super) fn new(
        items: usize,
        most: usize,
        panels: usize,
        threads: usize,
        multiplications: usize,
    ) -> Self {
        let blocks = items.div_ceil(most).max(1);
        if threads <= 1 || multiplications < WORTH_SHARING {
            return Self { blocks, groups: 1 };
        }
        if blocks >= threads || items >= threads * most / 2 {
            return Self { blocks: blocks.next_multiple_of(threads).min(items), groups: 1 };
        }
        Self { blocks, groups: threads.div_ceil(blocks).min(panels).max(1) }
    }

    pub(super) fn tasks(self) -> usize {
        self.blocks * self.groups
    }

    /// The items and panels of task `task`.
    pub(super) fn task(self, task: usize, items: usize, panels: usize) -> [std::ops::Range<usize>; 2] {
        let share = |i: usize, n: usize, of: usize| of * i / n..of * (i + 1) / n;
        [share(task / self.groups, self.blocks, items), share(task % self.groups, self.groups, panels)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_and_panel_belongs_to_one_task() {
        for (items, panels, threads) in
            [(4096, 4, 1), (4096, 4, 2), (16, 4, 2), (16, 3, 7), (100, 1, 16), (1, 1, 3)]
        {
            let split = Split::new(items, 96, panels, threads, usize::MAX);
            let mut seen = vec![0; items * panels];
            for task in 0..split.tasks() {
                let [i, p] = split.task(task, items, panels);
                i.for_each(|i| p.clone().for_each(|p| seen[i * panels + p] += 1));
            }
            assert!(seen.iter().all(|&times| times == 1), "{items} {panels} {threads}: {split:?}");
        }
    }

    #[test]
    fn small_work_stays_on_one_thread_and_few_pixels_share_out_their_panels() {
        assert_eq!(Split::new(16, 96, 4, 2, 500_000), Split { blocks: 1, groups: 1 });
        assert_eq!(Split::new(16, 96, 4, 2, 5_000_000), Split { blocks: 1, groups: 2 });
        assert_eq!(Split::new(4096, 96, 4, 2, 5_000_000), Split { blocks: 44, groups: 1 });
    }
}

//! Ranks as threads of one process: for tests, which then need no engine.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use candle_core::{DType, Tensor};

use super::Collective;

/// `ranks` ends of one connection, one for each thread.
pub fn threads(ranks: usize) -> Vec<Arc<dyn Collective>> {
    let table = Arc::new(Table {
        state: Mutex::new(State { given: vec![None; ranks], ..Default::default() }),
        changed: Condvar::new(),
    });
    (0..ranks)
        .map(|rank| Arc::new(Thread { rank, ranks, table: table.clone() }) as Arc<dyn Collective>)
        .collect()
}

struct Thread {
    rank: usize,
    ranks: usize,
    table: Arc<Table>,
}

/// Those who wait for a thread that panics would wait for ever.
impl Drop for Thread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort("it panicked");
        }
    }
}

/// Where all put down what they have and take up what all have.
struct Table {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    given: Vec<Option<Vec<f64>>>,
    /// What all have given, by rank, until every rank has taken it.
    all: Arc<Vec<Vec<f64>>>,
    round: u64,
    given_up: Option<String>,
}

impl Thread {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.table.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every rank gives in this round, by rank.
    fn gather(&self, own: Vec<f64>) -> Result<Arc<Vec<Vec<f64>>>> {
        let mut state = self.lock();
        let round = state.round;
        state.given[self.rank] = Some(own);
        if state.given.iter().all(Option::is_some) {
            let all = state.given.iter_mut().filter_map(Option::take).collect();
            state.all = Arc::new(all);
            state.round += 1;
            self.table.changed.notify_all();
        }
        while state.round == round && state.given_up.is_none() {
            state = self.table.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(reason) = &state.given_up {
            bail!("{reason}")
        }
        // The next round cannot be over before this rank has given something to it.
        Ok(state.all.clone())
    }
}

impl Collective for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        let all = self.gather(values.to_vec())?;
        for (rank, given) in all.iter().enumerate() {
            if given.len() != values.len() {
                bail!(
                    "rank {rank} gives {} numbers where rank {} gives {}",
                    given.len(),
                    self.rank,
                    values.len()
                )
            }
        }
        for (i, value) in values.iter_mut().enumerate() {
            *value = all.iter().map(|given| given[i]).sum();
        }
        Ok(())
    }

    fn all_reduce_tensor(&self, vector: &Tensor) -> Result<Tensor> {
        let mut values = vector.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        self.all_reduce(&mut values)?;
        Ok(Tensor::new(values, vector.device())?.to_dtype(vector.dtype())?)
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        let all = self.gather(bytes.iter().map(|&byte| f64::from(byte)).collect())?;
        bytes.iter_mut().zip(&all[0]).for_each(|(byte, &value)| *byte = value as u8);
        Ok(())
    }

    fn abort(&self, reason: &str) {
        let mut state = self.lock();
        let rank = self.rank;
        state.given_up.get_or_insert_with(|| format!("rank {rank} gave up: {reason}"));
        self.table.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `work` on every rank and returns what each came to.
    fn run<T: Send>(ranks: usize, work: impl Fn(Arc<dyn Collective>) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> = threads(ranks).into_iter().map(|c| scope.spawn(move || work(c))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn round_after_round_is_summed_on_every_rank() {
        let sums = run(3, |collective| {
            let mut seen = Vec::new();
            for round in 0..200 {
                let mut values = [(collective.rank() * round) as f64, 1.0];
                collective.all_reduce(&mut values).unwrap();
                seen.push(values);
            }
            seen
        });
        // 0 + round + 2 round
        let expected: Vec<[f64; 2]> = (0..200).map(|round| [3.0 * f64::from(round), 3.0]).collect();
        assert!(sums.iter().all(|seen| *seen == expected));
    }

    #[test]
    fn a_rank_that_gives_up_ends_those_that_wait_for_it() {
        let ended = run(3, |collective| {
            if collective.rank() == 1 {
                collective.abort("its disk is full");
                return "rank 1 itself".to_string();
            }
            collective.all_reduce(&mut [0.0]).unwrap_err().to_string()
        });
        for message in [&ended[0], &ended[2]] {
            assert_eq!(message, "rank 1 gave up: its disk is full");
        }
    }

    #[test]
    fn all_agree_on_a_failure_and_name_the_rank_that_has_it() {
        let ended = run(2, |collective| {
            let own = if collective.rank() == 1 { Err(anyhow::anyhow!("no such file")) } else { Ok(()) };
            let message = collective.agree(own).unwrap_err().to_string();
            assert!(!collective.any(false).unwrap() && collective.any(collective.rank() == 1).unwrap());
            assert_eq!(collective.agree(Ok(5)).unwrap(), 5);
            message
        });
        assert!(ended[0].contains("rank 1 failed"), "{}", ended[0]);
        assert_eq!(ended[1], "no such file");
    }
}

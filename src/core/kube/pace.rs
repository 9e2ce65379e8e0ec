//! How many calls change objects side by side, and how long to pause after a refusal. Must not know what is changed.

use std::time::Duration;

/// The least number of objects for which another call is made: starting one takes as long as changing some ten objects.
const LEAST: usize = 100;

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// The pace of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The largest number of calls at once.
    most: usize,
    /// How many there are now.
    at_once: usize,
    /// The next pause.
    pause: Duration,
}

impl Pace {
    pub fn of(most: usize) -> Pace {
        let most = most.max(1);
        Pace { most, at_once: most, pause: PAUSES.0 }
    }

    /// The sizes of the parts, one for each call, into which so many objects are split.
    pub fn shares(&self, objects: usize) -> Vec<usize> {
        let calls = (objects / LEAST).clamp(1, self.at_once);
        (0..calls).map(|call| objects / calls + usize::from(call < objects % calls)).collect()
    }

    /// Slows down after a refusal that will pass: the next pause is longer, and after an overload half as many calls are made.
    /// Returns the pause before the next calls.
    pub fn slow_down(&mut self, overload: bool) -> Duration {
        if overload {
            self.at_once = (self.at_once / 2).max(1);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        pause
    }

    /// Speeds up again after calls that were not refused.
    pub fn speed_up(&mut self) {
        *self = Pace { at_once: (self.at_once * 2).min(self.most), ..Pace::of(self.most) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_split_evenly_and_never_into_small_shares() {
        for (most, objects, shares) in [
            (4, 0, &[0][..]),
            (4, 1, &[1]),
            (4, 199, &[199]),
            (4, 200, &[100, 100]),
            (4, 399, &[133, 133, 133]),
            (4, 403, &[101, 101, 101, 100]),
            (4, 29_001, &[7251, 7250, 7250, 7250]),
            (1, 29_000, &[29_000]),
            (0, 29_000, &[29_000]),
        ] {
            assert_eq!(Pace::of(most).shares(objects), shares, "{objects} by {most}");
        }
        for (most, objects) in (1..=16).flat_map(|most| (0..3000).step_by(7).map(move |objects| (most, objects))) {
            let shares = Pace::of(most).shares(objects);
            assert_eq!(shares.iter().sum::<usize>(), objects);
            assert!(shares.len() <= most && (shares.len() == 1 || shares.iter().all(|share| *share >= LEAST)));
        }
    }

    #[test]
    fn an_overload_halves_the_calls_and_pauses_grow() {
        let mut pace = Pace::of(4);
        let at_once = |pace: &Pace| pace.shares(10_000).len();
        let seconds: Vec<(u64, usize)> = [true, false, true, true, true]
            .map(|overload| (pace.slow_down(overload).as_secs(), at_once(&pace)))
            .to_vec();
        assert_eq!(seconds, [(1, 2), (2, 2), (4, 1), (8, 1), (8, 1)]);
        pace.speed_up();
        assert_eq!((at_once(&pace), pace.pause), (2, PAUSES.0));
        pace.speed_up();
        pace.speed_up();
        assert_eq!(pace, Pace::of(4));
    }
}

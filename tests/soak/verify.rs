//! Runs of `verify`, and whether its verdict is true. Must not know how a dump is spoilt.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::plan::{Fault, Plan};
use crate::runs::Run;
use crate::stock::Known;
use crate::{Outcome, Sin, Soak};

impl Soak {
    /// A restore test, of a sound snapshot or of one that was spoilt.
    pub fn verify(&mut self, plan: &Plan) -> Outcome {
        let mut rng = plan.rng();
        let spoilt = rng.u32(..5) < 2;
        let of_kind = |spoilt: bool| -> Vec<Known> {
            let wanted = |known: &&Known| if spoilt { known.spoilt.is_some() } else { known.sound() };
            self.stock.iter().filter(wanted).cloned().collect()
        };
        let found = if spoilt && !of_kind(true).is_empty() { of_kind(true) } else { of_kind(false) };
        let Some(known) = rng.choice(found) else {
            return Outcome { said: "(no snapshot)".into(), ..Outcome::default() };
        };
        let start = || {
            let limit = if matches!(plan.fault, Fault::Quota(_)) { 20 } else { 90 };
            self.spawn(plan, &["verify".into(), known.name.clone(), format!("--verify-timeout={limit}s")])
        };
        let mut run = start();
        let mut second = None;
        if let Fault::Second(after, _) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            second = Some(start());
        }
        let late = self.strike(plan, &mut run);
        let mut ended = vec![run.done()];
        ended.extend(second.map(Run::done));
        let mut outcome = Outcome::default();
        match known.spoilt {
            Some(how) => write!(outcome.said, "of {how}").unwrap(),
            None => write!(outcome.said, "of a sound one").unwrap(),
        }
        if !late.is_empty() {
            write!(outcome.said, " ({late})").unwrap();
        }
        for one in &mut ended {
            self.note(plan, &mut outcome, one, &[1, 4, 7, 8]);
            if self.lie {
                // As if the other verdict had been given.
                one.code = if known.spoilt.is_some() { 0 } else { 8 };
                outcome.lied = true;
            }
        }
        let snapshots = self.snapshots();
        let meta = snapshots.iter().find(|one| one["metadata"]["name"] == known.name.as_str());
        let meta = meta.map_or(&Value::Null, |snapshot| &snapshot["metadata"]);
        let distrusted = &meta["annotations"]["backup-ns.sh/distrusted"];
        let verified = &meta["labels"]["backup-ns.sh/verified"];
        let calm = plan.fault == Fault::Nothing || late == "came too late";
        for one in &ended {
            match (known.spoilt, one.code) {
                (Some(how), 0) => outcome.problem(Sin::FalseGood, format!("{} has {how}", known.name)),
                (Some(how), code) if calm && code != 8 => {
                    outcome.problem(Sin::Broken, format!("{} has {how}, and there is no verdict: {code}", known.name));
                }
                (None, 8) => outcome.problem(Sin::FalseBad, format!("nothing is wrong with {}", known.name)),
                (None, code) if calm && code != 0 => {
                    outcome.problem(Sin::Broken, format!("nothing was wrong, and there is no verdict: {code}"));
                }
                _ => {}
            }
        }
        if known.spoilt.is_some() && !verified.is_null() {
            outcome.problem(Sin::FalseGood, format!("{} is spoilt, and stamped as good: {meta}", known.name));
        }
        if known.spoilt.is_none() && !distrusted.is_null() {
            outcome.problem(Sin::FalseBad, format!("{} is sound, and distrusted: {distrusted}", known.name));
        }
        // Each damage once, and what was condemned is of no more use.
        if known.spoilt.is_some() || !distrusted.is_null() {
            self.stock.retain(|one| one.name != known.name);
        }
        outcome.ended = ended;
        outcome
    }
}

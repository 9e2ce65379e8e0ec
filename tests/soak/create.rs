//! Runs of `create`. Must not know what makes a success a true one.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::plan::{Fault, Plan};
use crate::runs::{Run, exec_aside, text};
use crate::{Outcome, Sin, Soak};

impl Soak {
    fn start(&self, plan: &Plan, busy: &str) -> Run {
        let mut args: Vec<String> = plan.engines.iter().map(|engine| format!("--db-{}", engine.name())).collect();
        args.insert(0, "create".into());
        args.extend([format!("--tz={}", plan.zone), format!("--busy-timeout={busy}")]);
        args.push(format!("--vs-class-name={}", self.class(plan)));
        let patience = if matches!(plan.fault, Fault::BadClass(_)) { 4 } else { 60 };
        args.push(format!("--vs-wait-until-ready-timeout={patience}s"));
        if !plan.wait {
            args.push("--vs-wait-until-ready=false".into());
        }
        if plan.slots {
            args.push("--label-vs-retain=daily_weekly_monthly".into());
        }
        if plan.fault == Fault::DiskFull {
            args.push("--threshold-space-used-percentage=100".into());
        }
        self.spawn(plan, &args)
    }
    /// A backup; each success is judged.
    pub fn create(&mut self, plan: &Plan) -> Outcome {
        if plan.fault == Fault::DiskFull {
            for (_, writer) in &self.writers {
                writer.pause(true);
            }
        }
        let lurker = self.lurker(plan);
        // By the time of the dump it has the lock.
        let stall = plan.stall.map(|seconds| {
            let engine = plan.engines[0];
            let script = format!("echo \"{}\" | ({})", engine.stall(seconds), engine.client());
            exec_aside(&self.tenant.namespace, engine.name(), &script)
        });
        let mut run = self.start(plan, if matches!(plan.fault, Fault::Second(..)) { "60s" } else { "20s" });
        let mut second = None;
        if let Fault::Second(after, busy) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            second = Some(self.start(plan, busy));
        }
        let late = self.strike(plan, &mut run);
        let mut ended = vec![run.done()];
        ended.extend(second.map(Run::done));
        if plan.fault == Fault::DiskFull {
            self.free();
        }
        let hit = lurker.map(|child| text(&child.wait_with_output().unwrap().stdout) == "hit");
        if let Some(mut stall) = stall {
            stall.wait().unwrap();
        }
        self.tenant.await_ready();

        let mut outcome = Outcome::default();
        for word in [late, if hit == Some(false) { "came too late" } else { "" }] {
            if !word.is_empty() {
                write!(outcome.said, "({word})").unwrap();
            }
        }
        for (number, ended) in ended.iter().enumerate() {
            self.note(plan, &mut outcome, ended, &[1, 4, 5, 6, 7]);
            if ended.code != 0 {
                continue;
            }
            let began = Instant::now();
            self.spoilt.retain(|engine| !plan.engines.contains(engine));
            match self.judge(plan, ended, number) {
                Ok(said) => write!(outcome.said, ", true: {said} ({:.1} s)", began.elapsed().as_secs_f64()).unwrap(),
                Err(why) => outcome.problem(Sin::FalseSuccess, why),
            }
            outcome.lied = self.lie && !plan.is_needed();
        }
        if hit == Some(true) && matches!(plan.fault, Fault::Vandal(..)) {
            self.spoilt.push(plan.engines[0]);
        }
        let succeeded = ended.iter().filter(|ended| ended.code == 0).map(|ended| ended.began).max();
        outcome.succeeded = succeeded.map(|began| (began, plan.engines.clone()));
        outcome.ended = ended;
        outcome
    }
}

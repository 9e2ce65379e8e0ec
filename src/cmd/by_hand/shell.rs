//! `postgres|mysql shell`: hands stdin, the terminal and the exit code over to the database's own client.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::Result;

use super::Hand;
use crate::backup::dump;
use crate::backup::observe::DatabasePlace;
use crate::config::DbValue;
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::pod::Chosen;
use crate::core::escape;
use crate::core::plan::PlanStep;
use crate::exit::Exit;

/// How long a password may take to get to the container.
const HOLD_TIME: Duration = Duration::from_secs(45);

/// Becomes the client.
///
/// # Errors
/// There is no pod, or kubectl cannot be run. Everything after that is the client's.
pub fn run(hand: &Hand<'_>) -> Result<()> {
    let DatabasePlace { chosen, database, .. } = &hand.place(false)?;
    // A literal password goes another way than into an argument list.
    let mut open = database.clone();
    let secret = match &database.password {
        DbValue::Literal(secret) => Some(secret),
        DbValue::Variable(_) => None,
    };
    if secret.is_some() {
        open.password = DbValue::Variable("BACKUP_NS_PASSWORD".into());
    }
    let lines: String = dump::connection(&open).iter().map(|value| escape::line(value) + "\n").collect();
    let terminal = io::stdin().is_terminal() && stdout_is_terminal();
    let call = |held: &str| {
        let script = container::shell(database.engine);
        hand.kubectl.target.hand_over(&chosen.pod, &chosen.container, terminal, script, &[&lines, held])
    };
    if hand.global.dry_run {
        let mut shown = call("");
        let words = shown.iter_mut().skip_while(|word| *word != "-c").skip(2);
        words.filter(|word| word.contains('\n')).for_each(|word| *word = "<script>".into());
        let step =
            PlanStep::new(format!("Hand over to the client in pod {}, container {}", chosen.pod, chosen.container));
        return hand.show_plan("Shell", &[step.kubectl(&shown)]);
    }
    let held = secret.map(|secret| hold(hand, chosen, secret)).transpose()?.unwrap_or_default();
    Err(hand.kubectl.replace(call(&held)).into())
}

#[expect(clippy::disallowed_methods, reason = "looked at, not written to")]
fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Leaves a password in the container for the client; where.
fn hold(hand: &Hand<'_>, chosen: &Chosen, secret: &str) -> Result<String> {
    let values = [secret.to_string()];
    let hold = || {
        let mut session = Session::start(&hand.kubectl, chosen, container::HOLD_PASSWORD, &hand.nonce, &values)?;
        let mut held = String::new();
        session.until("end", HOLD_TIME, |key, value| {
            if key == "file" {
                held = value.into();
            }
        })?;
        Ok(held)
    };
    let held = hand.kubectl.patiently(hold);
    Ok(held.map_err(|error| session::fail(&error, Exit::Precondition, "nothing was changed"))?)
}

//! A plan as data and as text, for dry runs. Must not know what the steps do.

use serde::Serialize;
use serde_json::Value;

use crate::core::escape::{self, word};
use crate::core::kube::calls::SCRIPT;

#[derive(Debug, Clone, Serialize)]
pub struct PlanStep {
    /// A phrase that says what is done.
    pub what: String,
    /// The command lines; scripts are not shown in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// The object that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
}

impl PlanStep {
    /// A step without a command.
    pub fn new(what: impl Into<String>) -> PlanStep {
        PlanStep { what: what.into(), commands: Vec::new(), manifest: None }
    }

    #[must_use]
    pub fn kubectl(self, args: &[String]) -> PlanStep {
        let words: Vec<String> = args.iter().map(|arg| if arg == SCRIPT { arg.clone() } else { word(arg) }).collect();
        self.command(format!("kubectl {}", words.join(" ")))
    }

    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> PlanStep {
        self.commands.push(command.into());
        self
    }

    #[must_use]
    pub fn manifest(mut self, manifest: Value) -> PlanStep {
        self.manifest = Some(manifest);
        self
    }
}

/// The plan as text, for people.
pub fn text(steps: &[PlanStep]) -> String {
    let mut text = String::new();
    for (number, step) in steps.iter().enumerate() {
        text.push_str(&format!("{}. {}\n", number + 1, step.what));
        for command in &step.commands {
            text.push_str(&format!("   $ {command}\n"));
        }
        if let Some(manifest) = &step.manifest {
            let json = serde_json::to_string_pretty(manifest).unwrap_or_default();
            for line in escape::json(&json).lines() {
                text.push_str(&format!("     {line}\n"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kube::calls::Target;

    #[test]
    fn a_plan_shows_commands_but_no_script() {
        let target = Target { context: Some("prod".into()), ..Target::default() };
        let steps = [PlanStep::new("look").kubectl(&target.exec("p", "c", SCRIPT)), PlanStep::new("end")];
        let text = text(&steps);
        assert!(text.contains("1. look\n   $ kubectl --context=prod exec"), "{text}");
        assert!(text.contains("<script on stdin>"), "{text}");
        assert!(!text.contains("IFS="), "{text}");
    }
}

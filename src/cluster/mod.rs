//! What is done in the cluster with kubectl. Must not know what a dump is.

#[path = "../relabel.rs"]
pub mod bulk;
#[path = "../delete.rs"]
pub mod delete_snapshot;
#[path = "../dry_run.rs"]
pub mod dry_run;
#[path = "../kubectl.rs"]
pub mod kubectl;
#[path = "../in_place.rs"]
pub mod restore_in_place;
#[path = "../trial.rs"]
pub mod scratch_pod;
#[path = "../survey.rs"]
pub mod survey;
#[path = "../watch.rs"]
pub mod watch;

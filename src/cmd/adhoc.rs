//! Not built yet.

use crate::config::{Adhoc, Global};
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

pub fn run(_global: &Global, _adhoc: &Adhoc, _reporter: &Reporter) -> Result<(), Fail> {
    Err(Fail::new(Exit::Failed, "not built yet"))
}

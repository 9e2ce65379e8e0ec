//! Not built yet.

use crate::config::{Global, Verify};
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

pub fn run(_global: &Global, _verify: &Verify, _reporter: &Reporter) -> Result<(), Fail> {
    Err(Fail::new(Exit::Failed, "not built yet"))
}

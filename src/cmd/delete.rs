//! Not built yet.

use crate::config::{Delete, Global};
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

pub fn run(_global: &Global, _delete: &Delete, _reporter: &Reporter) -> Result<(), Fail> {
    Err(Fail::new(Exit::Failed, "not built yet"))
}

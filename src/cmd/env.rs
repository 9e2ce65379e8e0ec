//! Not built yet.

use crate::config::{Plain, Values};
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

pub fn run(_plain: &Plain, _values: Values<'_>, _reporter: &Reporter) -> Result<(), Fail> {
    Err(Fail::new(Exit::Failed, "not built yet"))
}

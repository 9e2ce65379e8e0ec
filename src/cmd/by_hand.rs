//! Not built yet.

use crate::config::{ByHand, Global};
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

pub fn run(_piece: &str, _global: &Global, _by_hand: &ByHand, _reporter: &Reporter) -> Result<(), Fail> {
    Err(Fail::new(Exit::Failed, "not built yet"))
}

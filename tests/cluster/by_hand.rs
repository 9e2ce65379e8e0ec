//! The pieces of a backup by hand.

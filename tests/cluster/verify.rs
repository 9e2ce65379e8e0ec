//! Restore tests of snapshots, good ones and bad ones.

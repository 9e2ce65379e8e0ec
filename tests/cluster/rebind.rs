//! Stored data whose VolumeSnapshot or namespace is gone.

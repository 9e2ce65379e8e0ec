//! The commands that show and remove backups, and those that keep the stored data findable.

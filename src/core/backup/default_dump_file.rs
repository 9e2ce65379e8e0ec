//! Where a dump goes if no setting says so and the directory of the default path is missing, as in the image of PostgreSQL 18:
//! its volume is mounted above the data directory. Must not know how the container is asked.

use crate::core::backup::preflight::holds;
use crate::core::kube::objects::VolumeMount;

/// The directory of a dump file.
pub fn directory(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The same file at the top of the mount that is next above its directory. None if the directory itself is mounted, or no
/// mount is above it.
pub fn at_top_of_mount(file: &str, mounts: &[VolumeMount]) -> Option<String> {
    let (directory, name) = file.rsplit_once('/')?;
    let paths = mounts.iter().map(|mount| mount.mount_path.trim_end_matches('/'));
    let top = paths.filter(|path| holds(path, directory)).max_by_key(|path| path.len())?;
    (top != directory).then(|| format!("{top}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(mounts: &[&str]) -> Option<String> {
        let mount = |path: &&str| VolumeMount { mount_path: (*path).into(), ..VolumeMount::default() };
        at_top_of_mount("/var/lib/postgresql/data/dump.sql.gz", &mounts.iter().map(mount).collect::<Vec<_>>())
    }

    #[test]
    fn the_dump_goes_to_the_top_of_the_next_mount_above() {
        for (mounts, file) in [
            (&["/var/lib/postgresql"][..], Some("/var/lib/postgresql/dump.sql.gz")),
            (&["/var/lib/postgresql/"], Some("/var/lib/postgresql/dump.sql.gz")),
            (&["/var/lib", "/var/lib/postgresql"], Some("/var/lib/postgresql/dump.sql.gz")),
            (&["/var/lib/postgresql/data"], None),
            (&["/var/lib/postgresql/data/"], None),
            (&["/var/lib/postgresql", "/var/lib/postgresql/data"], None),
            (&["/var/lib/postgresql/data/pgdata"], None),
            (&["/var/lib/postgres"], None),
            (&["/pg"], None),
            (&[], None),
        ] {
            assert_eq!(moved(mounts).as_deref(), file, "{mounts:?}");
        }
        assert_eq!(directory("/a/b/dump.sql.gz"), "/a/b");
    }
}

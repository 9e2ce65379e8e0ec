//! The time zone of every date. Must not know the clock.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    pub const UTC: Zone = Zone(Tz::UTC);

    /// Resolves an IANA name such as `Europe/Vienna`. A leading colon, as POSIX allows in `TZ`, is ignored, and an empty name is
    /// UTC. An unknown name is an error, and never UTC.
    pub fn parse(name: &str) -> Result<Zone, String> {
        let name = name.strip_prefix(':').unwrap_or(name);
        if name.is_empty() {
            return Ok(Zone::UTC);
        }
        name.parse().map(Zone).map_err(|_| format!("'{name}' is in no time zone database"))
    }

    /// Its IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    pub fn local(self, instant: DateTime<Utc>) -> DateTime<Tz> {
        instant.with_timezone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_or_fail() {
        assert_eq!(Zone::parse("Europe/Vienna"), Ok(Zone(Tz::Europe__Vienna)));
        assert_eq!(Zone::parse(":Asia/Kathmandu"), Ok(Zone(Tz::Asia__Kathmandu)));
        assert_eq!(Zone::parse("").unwrap(), Zone::UTC);
        assert!(Zone::parse("Mars/Olympus").is_err());
        assert!(Zone::parse("CET-1CEST").is_err());
    }
}

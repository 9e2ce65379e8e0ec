//! Retention slots: the day, the ISO week and the month that a snapshot can be kept for. Must not know the cluster.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc, Weekday};
use serde::Serialize;

use crate::core::kube::labels;
use crate::core::time_zone::Zone;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotKind {
    /// A calendar day.
    Daily,
    /// An ISO 8601 week.
    Weekly,
    /// A calendar month.
    Monthly,
}

impl SlotKind {
    /// Shortest first.
    pub const ALL: [SlotKind; 3] = [SlotKind::Daily, SlotKind::Weekly, SlotKind::Monthly];

    pub const fn label(self) -> &'static str {
        match self {
            SlotKind::Daily => labels::DAILY,
            SlotKind::Weekly => labels::WEEKLY,
            SlotKind::Monthly => labels::MONTHLY,
        }
    }

    /// The label's value for the slot that holds `instant`: `YYYY-MM-DD`, `YYYY-wWW` with the ISO week-year
    /// (ISO 8601: 2027-01-01 lies in 2026-w53), or `YYYY-MM`.
    pub fn value(self, instant: DateTime<Utc>, zone: Zone) -> String {
        self.of(zone.local(instant).date_naive())
    }

    /// The slot of a label's value on a snapshot made at `made`, in the form of [`SlotKind::value`]; None if the value is not
    /// valid. The older tool wrote weeks as `wWW` without a year. Such a week is the nearest one of that number, because a label is
    /// written just before the cut, and maybe in another zone, so that its year may differ from that of `made`.
    pub fn read(self, label: &str, made: DateTime<Utc>, zone: Zone) -> Option<String> {
        let (text, date) = match self {
            SlotKind::Daily => (label.to_string(), NaiveDate::parse_from_str(label, "%Y-%m-%d").ok()?),
            SlotKind::Weekly => {
                let thursday = |year, week| NaiveDate::from_isoywd_opt(year, week, Weekday::Thu);
                match label.strip_prefix('w') {
                    Some(week) => {
                        let number = week.parse().ok()?;
                        let made = zone.local(made).date_naive();
                        let years = made.year() - 1..=made.year() + 1;
                        let dates = years.filter_map(|year| thursday(year, number));
                        let date = dates.min_by_key(|date| (*date - made).abs())?;
                        (format!("{:04}-w{week}", date.year()), date)
                    }
                    None => {
                        let (year, week) = label.split_once("-w")?;
                        (label.to_string(), thursday(year.parse().ok()?, week.parse().ok()?)?)
                    }
                }
            }
            SlotKind::Monthly => {
                (label.to_string(), NaiveDate::parse_from_str(&format!("{label}-01"), "%Y-%m-%d").ok()?)
            }
        };
        (self.of(date) == text).then_some(text)
    }

    /// Whether the value of a label on a snapshot made at `made` means `slot`.
    pub fn same(self, label: &str, made: DateTime<Utc>, slot: &str, zone: Zone) -> bool {
        self.read(label, made, zone).as_deref() == Some(slot)
    }

    fn of(self, day: NaiveDate) -> String {
        match self {
            SlotKind::Daily => format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day()),
            SlotKind::Weekly => format!("{:04}-w{:02}", day.iso_week().year(), day.iso_week().week()),
            SlotKind::Monthly => format!("{:04}-{:02}", day.year(), day.month()),
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SlotKind::Daily => "daily",
            SlotKind::Weekly => "weekly",
            SlotKind::Monthly => "monthly",
        })
    }
}

/// The date, `days` days after the local day of `instant`, as `YYYY-MM-DD`.
pub fn date_after(instant: DateTime<Utc>, days: u32, zone: Zone) -> String {
    let day = zone.local(instant).date_naive();
    let then = day.checked_add_days(Days::new(u64::from(days))).unwrap_or(chrono::NaiveDate::MAX);
    then.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn values(instant: &str, zone: &str) -> [String; 3] {
        let zone = Zone::parse(zone).unwrap();
        SlotKind::ALL.map(|kind| kind.value(at(instant), zone))
    }

    #[test]
    fn year_ends_follow_the_iso_week_year() {
        assert_eq!(values("2026-12-31T12:00:00Z", "UTC"), ["2026-12-31", "2026-w53", "2026-12"]);
        assert_eq!(values("2027-01-01T12:00:00Z", "UTC"), ["2027-01-01", "2026-w53", "2027-01"]);
        assert_eq!(values("2027-01-04T12:00:00Z", "UTC"), ["2027-01-04", "2027-w01", "2027-01"]);
        // A Monday in December in the first week of the next year.
        assert_eq!(values("2024-12-30T00:00:00Z", "UTC"), ["2024-12-30", "2025-w01", "2024-12"]);
    }

    #[test]
    fn a_day_is_the_zones_day() {
        assert_eq!(values("2026-06-30T22:30:00Z", "Europe/Vienna"), ["2026-07-01", "2026-w27", "2026-07"]);
        assert_eq!(values("2026-07-01T03:00:00Z", "America/New_York"), ["2026-06-30", "2026-w27", "2026-06"]);
        assert_eq!(values("2026-01-01T10:30:00Z", "Pacific/Kiritimati")[0], "2026-01-02");
    }

    #[test]
    fn daylight_saving_neither_skips_nor_doubles_a_date() {
        let vienna = Zone::parse("Europe/Vienna").unwrap();
        // Clocks go forward at 01:00 UTC on 2026-03-29 and back at 01:00 UTC on 2026-10-25.
        for (night, day) in [("2026-03-28T23:30:00Z", "2026-03-29"), ("2026-10-25T22:30:00Z", "2026-10-25")] {
            assert_eq!(SlotKind::Daily.value(at(night), vienna), day);
        }
        assert_eq!(date_after(at("2026-03-28T12:00:00Z"), 1, vienna), "2026-03-29");
        assert_eq!(date_after(at("2026-10-24T22:30:00Z"), 1, vienna), "2026-10-26");
    }

    #[test]
    fn delete_after_counts_calendar_days() {
        assert_eq!(date_after(at("2026-12-15T12:00:00Z"), 30, Zone::UTC), "2027-01-14");
        assert_eq!(date_after(at("2028-02-28T12:00:00Z"), 1, Zone::UTC), "2028-02-29");
        assert_eq!(date_after(at("2026-12-15T12:00:00Z"), 0, Zone::UTC), "2026-12-15");
    }

    #[test]
    fn the_older_weeks_are_read() {
        let made = at("2027-01-01T12:00:00Z");
        assert!(SlotKind::Weekly.same("w53", made, "2026-w53", Zone::UTC));
        assert!(!SlotKind::Weekly.same("w53", made, "2020-w53", Zone::UTC));
        assert!(SlotKind::Weekly.same("2026-w53", made, "2026-w53", Zone::UTC));
        assert!(!SlotKind::Daily.same("w53", made, "2026-w53", Zone::UTC));
    }

    #[test]
    fn malformed_labels_are_not_slots() {
        let read = |kind: SlotKind, label: &str, made: &str| kind.read(label, at(made), Zone::UTC);
        for (kind, label, made, slot) in [
            (SlotKind::Daily, "2028-02-29", "2020-01-01T00:00:00Z", "2028-02-29"),
            (SlotKind::Weekly, "2026-w53", "2020-01-01T00:00:00Z", "2026-w53"),
            (SlotKind::Weekly, "w07", "2026-02-14T12:00:00Z", "2026-w07"),
            (SlotKind::Monthly, "2026-02", "2020-01-01T00:00:00Z", "2026-02"),
            // Labelled on one side of the year's end, cut on the other; or labelled in a zone ahead of this one.
            (SlotKind::Weekly, "w53", "2027-01-04T00:00:05Z", "2026-w53"),
            (SlotKind::Weekly, "w52", "2028-01-03T00:00:05Z", "2027-w52"),
            (SlotKind::Weekly, "w01", "2027-01-03T23:30:00Z", "2027-w01"),
        ] {
            assert_eq!(read(kind, label, made).as_deref(), Some(slot), "{label}");
        }
        let made = "2026-11-22T12:00:00Z";
        for label in ["", "2026-02-30", "2026-2-3", "2026-11", "+2026-11-22", "2026-11-22 ", "20261122"] {
            assert_eq!(read(SlotKind::Daily, label, made), None, "{label}");
        }
        for label in
            ["", "w", "w0", "w00", "w54", "w7", "w+7", "2025-w53", "2026-w7", "2026-W07", "w5-w05", "-w07", "26-w07"]
        {
            assert_eq!(read(SlotKind::Weekly, label, made), None, "{label}");
        }
        for label in ["", "2026", "2026-13", "2026-1", "2026-11-22", "+2026-11", "2026-w07"] {
            assert_eq!(read(SlotKind::Monthly, label, made), None, "{label}");
        }
    }

    proptest! {
        // From 1970 to 2100, in zones with odd offsets and rules.
        #[test]
        fn slots_are_valid_label_values_and_grow_with_time(
            second in 0i64..4_102_444_800,
            later in 0i64..40_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Vienna", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"]),
        ) {
            let zone = Zone::parse(zone).unwrap();
            let a = DateTime::from_timestamp(second, 0).unwrap();
            let b = DateTime::from_timestamp(second + later, 0).unwrap();
            for kind in SlotKind::ALL {
                let (x, y) = (kind.value(a, zone), kind.value(b, zone));
                prop_assert!(x <= y, "{x} {y}");
                prop_assert!(crate::core::kube::labels::check_value(&x).is_ok());
                prop_assert!(kind.same(&x, a, &x, zone));
                // The older tool's spelling, read of a cut some hours later.
                if let (SlotKind::Weekly, Some((_, week))) = (kind, x.split_once("-w")) {
                    let cut = a + chrono::TimeDelta::seconds(later % 50_000);
                    let older = format!("w{week}");
                    prop_assert!(kind.same(&older, cut, &x, zone), "{} {}", older, cut);
                }
            }
            // Whole weeks apart is never the same week, and seven days cover exactly two week labels or one.
            let week = |days: i64| SlotKind::Weekly.value(DateTime::from_timestamp(second + days * 86_400 , 0).unwrap(), Zone::UTC);
            let mut labels: Vec<_> = (0..7).map(week).collect();
            labels.dedup();
            prop_assert!(labels.len() <= 2);
            prop_assert_ne!(week(0), week(7));
        }
    }
}

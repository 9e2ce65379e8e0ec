//! Numbers and durations as text. Must not know what is counted.

use chrono::TimeDelta;

/// A number with its noun: `1 snapshot`, `2 snapshots`.
pub fn counted<N: PartialEq + From<u8> + std::fmt::Display>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The first names of a list, and how many more it has: `a, b and 3 more`.
pub fn first(number: usize, names: &[String]) -> String {
    let (shown, more) = names.split_at(names.len().min(number));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{}{more}", shown.join(", "))
}

/// A duration as kubectl prints an age: `5m`, `3h12m`, `12d` (k8s.io/apimachinery/pkg/util/duration, `HumanDuration`).
pub fn age(time: TimeDelta) -> String {
    let two = |number: i64, unit: char, rest: i64, smaller: char| match rest {
        0 => format!("{number}{unit}"),
        _ => format!("{number}{unit}{rest}{smaller}"),
    };
    let (seconds, minutes, hours, days) =
        (time.num_seconds().max(0), time.num_minutes(), time.num_hours(), time.num_days());
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(days, 'd', hours % 24, 'h'),
        () if days < 365 * 2 => format!("{days}d"),
        () if days < 365 * 8 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_have_a_plural() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "row")), ["0 rows", "1 row", "2 rows"]);
    }

    #[test]
    fn ages_are_kubectls() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (9 * MINUTE + 59, "9m59s"),
            (10 * MINUTE + 5, "10m"),
            (179 * MINUTE, "179m"),
            (3 * HOUR, "3h"),
            (7 * HOUR + 59 * MINUTE, "7h59m"),
            (8 * HOUR + 59 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (48 * HOUR, "2d"),
            (7 * DAY + 23 * HOUR, "7d23h"),
            (8 * DAY, "8d"),
            (729 * DAY, "729d"),
            (730 * DAY, "2y"),
            (800 * DAY, "2y70d"),
            (8 * 365 * DAY + DAY, "8y"),
        ] {
            assert_eq!(age(TimeDelta::seconds(seconds)), text);
        }
    }
}

//! Quantities of Kubernetes, such as `1Gi`.

/// The bytes of a quantity such as `1Gi`, `500M` or `1e9`, rounded down; None if it is not valid or
/// in parts of a byte (`1500m`)
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).
pub fn bytes(text: &str) -> Option<u128> {
    scaled(text, 1)
}

/// The thousandths of a quantity, such as 500 of `500m` and 1500 of `1.5`; None if it is not valid.
pub fn thousandths(text: &str) -> Option<u128> {
    scaled(text, 1000)
}

/// A quantity times `parts`, rounded down. Thousandths (`m`) only if `parts` is 1000.
fn scaled(text: &str, parts: u128) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let binary = |power: u32| Some(1024u128.pow(power));
    let unit = match suffix {
        "" => Some(1),
        "m" if parts == 1000 => return whole.parse().ok().filter(|_| part.is_empty()),
        "k" => Some(1000),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "M" => Some(1000u128.pow(2)),
        "G" => Some(1000u128.pow(3)),
        "T" => Some(1000u128.pow(4)),
        "P" => Some(1000u128.pow(5)),
        "E" => Some(1000u128.pow(6)),
        _ => 10u128.checked_pow(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    }?;
    let unit = unit.checked_mul(parts)?;
    let fraction = match part {
        "" => 0,
        _ => part.parse::<u128>().ok()?.checked_mul(unit)? / 10u128.checked_pow(u32::try_from(part.len()).ok()?)?,
    };
    whole.parse::<u128>().ok()?.checked_mul(unit)?.checked_add(fraction)
}

/// The bigger of two quantities. One that is not valid counts as the smaller.
pub fn bigger<'a>(one: &'a str, other: &'a str) -> &'a str {
    if bytes(other) > bytes(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1073741824", Some(1 << 30)),
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("500M", Some(500_000_000)),
            ("1e9", Some(1_000_000_000)),
            ("2Ti", Some(2 << 40)),
            ("", None),
            ("Gi", None),
            ("1Qi", None),
            ("-1", None),
            ("1e99", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn parts_of_a_processor_are_read() {
        for (text, expected) in
            [("500m", Some(500)), ("2", Some(2000)), ("0.25", Some(250)), ("1Ki", Some(1_024_000)), ("x", None)]
        {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn the_bigger_quantity_is_returned_unchanged() {
        assert_eq!(bigger("1Gi", "1000M"), "1Gi");
        assert_eq!(bigger("1Gi", "2147483648"), "2147483648");
        assert_eq!(bigger("1Gi", ""), "1Gi");
        assert_eq!(bigger("", "1Gi"), "1Gi");
    }
}

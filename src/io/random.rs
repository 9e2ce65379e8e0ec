//! The random parts of names and messages. Must not be used for secrets.

/// A new nonce, 32 hexadecimal digits. It marks every line of one session, and names one run.
pub fn nonce() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// So many random letters from a to z, as names of Kubernetes may end with.
pub fn letters(count: usize) -> String {
    (0..count).map(|_| fastrand::lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_has_32_digits_and_letters_are_lowercase() {
        let (one, other) = (nonce(), nonce());
        assert!(one != other && one.len() == 32 && one.bytes().all(|digit| digit.is_ascii_hexdigit()), "{one} {other}");
        let word = letters(6);
        assert!(word.len() == 6 && word.bytes().all(|letter| letter.is_ascii_lowercase()), "{word}");
    }
}

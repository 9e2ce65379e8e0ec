//! The log lines that programs of Kubernetes write on stderr beside their messages. Must not know who wrote them.

/// Whether a line is one of klog's, such as `E1129 12:00:00.000000     123 memcache.go:265] "Unhandled Error" err="…"`
/// (<https://github.com/kubernetes/klog>): level, month and day, time, thread, file and line. The last words of a program that gives
/// up, of the level F, are its message.
fn is_log_line(line: &str) -> bool {
    let Some((head, _)) = line.split_once("] ") else { return false };
    let [date, time, thread, place] = head.split_whitespace().collect::<Vec<_>>()[..] else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let shape = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(is, like)| is == like || like == b'0' && is.is_ascii_digit())
    };
    date.starts_with(['I', 'W', 'E'])
        && shape(&date[1..], "0000")
        && shape(time, "00:00:00.000000")
        && digits(thread)
        && place.rsplit_once(':').is_some_and(|(file, line)| !file.is_empty() && digits(line))
}

/// The lines of a message without those of a log, or all where there are no others: a refusal is recognized by its words, and a
/// log may have the words of another one, which its program got over.
pub fn without_log(lines: Vec<String>) -> Vec<String> {
    let is_message = |line: &&String| !line.trim().is_empty() && !is_log_line(line);
    match lines.iter().any(|line| is_message(&line)) {
        true => lines.into_iter().filter(|line| !is_log_line(line)).collect(),
        false => lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"E1129 12:00:00.000000     123 memcache.go:265] "Unhandled Error" err="the server is currently unable to handle the request""#;

    #[test]
    fn a_log_line_is_told_from_a_message() {
        for line in [
            LOG,
            "W0102 03:04:05.678901 1234567 warnings.go:70] v1 ComponentStatus is deprecated in v1.19+",
            "I1129 12:00:00.000000       7 request.go:752] Waited before sending request",
        ] {
            assert!(is_log_line(line), "{line}");
        }
        for line in [
            "",
            "error: x",
            "F1129 12:00:00.000000     123 main.go:1] it cannot go on",
            "E1129 12:00:00.000000     123 memcache.go:265]",
            "E1129 12:00:00 123 memcache.go:265] too short a time",
            "E112 12:00:00.000000 123 memcache.go:265] too short a date",
            "E1129 12:00:00.000000 123 memcache.go] no line",
            "E1129 12:00:00.000000 pid memcache.go:1] no thread",
            "pg_dump: E1129 12:00:00.000000 1 a.go:1] in a message",
            "É129 12:00:00.000000 123 a.go:1] x",
            "[a] b",
        ] {
            assert!(!is_log_line(line), "{line}");
        }
    }

    #[test]
    fn a_log_is_left_out_of_a_message_but_is_better_than_nothing() {
        let without = |lines: &[&str]| without_log(lines.iter().map(ToString::to_string).collect()).join("\n");
        assert_eq!(
            without(&[LOG, "Error from server (NotFound): pods \"x\" not found", LOG]),
            "Error from server (NotFound): pods \"x\" not found"
        );
        assert_eq!(without(&[LOG, "", LOG]), format!("{LOG}\n\n{LOG}"));
        assert_eq!(without(&[]), "");
    }
}

//! Cuts the text of a list into its objects while it arrives, so that only one of them is in memory. Must not know what an
//! object is.

use serde::Deserialize;

/// The longest text of one object, and of the list around the objects, in bytes. The API stores no object of that size.
const LONGEST: usize = 16 << 20;

/// What a list says beside its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListEnd {
    /// The token for the next page; empty on the last one.
    pub next: String,
    /// How many objects it has.
    pub objects: usize,
    /// The length of its text.
    pub bytes: usize,
}

/// The list, with a 0 in the place of each object.
#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    metadata: FrameMeta,
    /// Required: an answer without `items` is an error, and not an empty list.
    items: Vec<u8>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FrameMeta {
    #[serde(rename = "continue")]
    next: String,
}

/// A position in a JSON text.
#[derive(Debug, Default)]
struct Position {
    /// How many objects and lists it is in.
    depth: usize,
    in_string: bool,
    /// Whether the byte before it is a backslash that belongs to the byte after it.
    escaped: bool,
}

impl Position {
    /// Moves past the next brace or bracket that is not in a string, and returns where it is.
    fn next(&mut self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.escaped {
                text.get(at)?;
                self.escaped = false;
                at += 1;
            }
            let sought = match self.in_string {
                true => memchr::memchr2(b'"', b'\\', &text[at..]),
                false => text[at..].iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')),
            };
            at += sought?;
            match text[at] {
                b'"' => self.in_string = !self.in_string,
                b'\\' => self.escaped = true,
                byte => {
                    let opens = matches!(byte, b'{' | b'[');
                    self.depth = if opens { self.depth + 1 } else { self.depth.saturating_sub(1) };
                    return Some(at);
                }
            }
            at += 1;
        }
    }
}

/// Reads a list of the API, or one that `kubectl get -o json` prints, in pieces of any size. It only finds where objects begin
/// and end; their text is checked by what parses them, and the text around them by [`ListReader::end`].
#[derive(Debug, Default)]
pub struct ListReader {
    position: Position,
    /// The list around the objects, as in [`Frame`].
    frame: Vec<u8>,
    in_items: bool,
    in_object: bool,
    /// The beginning of an object whose end has not arrived.
    object: Vec<u8>,
    objects: usize,
    bytes: usize,
}

impl ListReader {
    /// Reads the next piece of the text, and hands on each object that ends in it.
    ///
    /// # Errors
    /// Those of `hand_on`; something is too long.
    pub fn read(&mut self, text: &[u8], mut hand_on: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        self.bytes += text.len();
        // What is before `begin` is done, and no brace or bracket is between `begin` and `at`.
        let (mut begin, mut at) = (0, 0);
        while let Some(found) = self.position.next(&text[at..]) {
            let (here, depth) = (at + found, self.position.depth);
            at = here + 1;
            match text[here] {
                b'}' if self.in_object && depth == 2 => {
                    // Most objects arrive in one piece, and are not copied.
                    if self.object.is_empty() {
                        hand_on(&text[begin..at])?;
                    } else {
                        self.object.extend_from_slice(&text[begin..at]);
                        hand_on(&self.object)?;
                        self.object.clear();
                    }
                    self.in_object = false;
                    begin = at;
                }
                _ if self.in_object => {}
                b'{' if self.in_items && depth == 3 => {
                    self.frame.extend_from_slice(&text[begin..here]);
                    self.frame.push(b'0');
                    self.objects += 1;
                    self.in_object = true;
                    begin = here;
                }
                b'[' if depth == 2 => {
                    self.frame.extend_from_slice(&text[begin..here]);
                    self.in_items = self.follows_items();
                    begin = here;
                }
                _ => self.in_items &= depth >= 2,
            }
        }
        let unfinished = if self.in_object { &mut self.object } else { &mut self.frame };
        unfinished.extend_from_slice(&text[begin..]);
        match unfinished.len() > LONGEST {
            true => Err(format!("more than {} MiB without the end of an object", LONGEST >> 20)),
            false => Ok(()),
        }
    }

    /// Whether the frame ends with the key `items`.
    fn follows_items(&self) -> bool {
        let key = self.frame.trim_ascii_end().strip_suffix(b":");
        key.is_some_and(|key| key.trim_ascii_end().ends_with(b"\"items\""))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// The text was not that of a whole list of objects.
    pub fn end(self) -> Result<ListEnd, String> {
        let frame: Frame = serde_json::from_slice(&self.frame).map_err(|error| format!("no list: {error}"))?;
        match !self.in_object && frame.items.len() == self.objects {
            true => Ok(ListEnd { next: frame.metadata.next, objects: self.objects, bytes: self.bytes }),
            false => Err("no list: not all of its items are objects".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str, piece: usize) -> Result<(Vec<Value>, ListEnd), String> {
        let (mut reader, mut objects) = (ListReader::default(), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            reader.read(piece, |object| {
                objects.push(serde_json::from_slice(object).map_err(|error| error.to_string())?);
                Ok(())
            })?;
        }
        Ok((objects, reader.end()?))
    }

    /// Any JSON, with all that could be taken for the bounds of an object.
    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop::collection::vec(
            prop::sample::select(vec!["\"", "\\", "{", "}", "[", "]", "items", ":", "ü", " "]),
            0..6,
        );
        let text = text.prop_map(|words| words.concat());
        let leaf = prop_oneof![Just(json!(null)), Just(json!(0)), text.clone().prop_map(Value::String)];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            let key = prop_oneof![Just("items".to_string()), text.clone()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_list_is_its_objects_however_it_is_cut(
            objects in prop::collection::vec(any_json(), 0..5), more in any_json(), pretty: bool, after: bool
        ) {
            let objects: Vec<Value> = objects.into_iter().map(|object| json!({"": object})).collect();
            // Keys are in the order of the alphabet.
            let (before, next) = if after { ("a", "t\"{[") } else { ("z", "") };
            let list = json!({before: more, "items": objects, "kind": "List", "metadata": {"continue": next, "items": [{}]}});
            let text = if pretty { format!("{list:#}\n") } else { list.to_string() };
            let end = ListEnd { next: next.into(), objects: objects.len(), bytes: text.len() };
            for piece in [1, 2, 3, 7, 64, text.len()] {
                prop_assert_eq!(read(&text, piece), Ok((objects.clone(), end.clone())));
            }
        }
    }

    #[test]
    fn what_is_no_whole_list_of_objects_is_an_error() {
        let whole = r#"{"items": [{"a": "}"}, {"b": [{}]}], "metadata": {"continue": "t"}}"#;
        assert_eq!(read(whole, 5).unwrap().1.next, "t");
        for end in 0..whole.len() {
            assert!(read(&whole[..end], 5).is_err(), "{}", &whole[..end]);
        }
        for text in [
            "{}",
            "[]",
            "null",
            r#"{"kind": "Status"}"#,
            r#"{"items": null}"#,
            r#"{"items": {}}"#,
            r#"{"items": [0]}"#,
            r#"{"items": [{}, 0]}"#,
            r#"{"items": [[{}]]}"#,
            r#"{"items": [{} {}]}"#,
            r#"{"items": [{},]}"#,
            r#"{"items": [{}]]"#,
            r#"{"items": [{}]}}"#,
            r#"{"items": [{]]}"#,
            r#"{"items": [{}], "items": [{}]}"#,
            r#"{"items": []} {"items": []}"#,
            r#"{"x\"items": [{}]}"#,
            r#"{"list": {"items": [{}]}}"#,
        ] {
            for piece in [1, text.len()] {
                assert!(read(text, piece).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_a_list() {
        let object = format!("{{\"a\": \"{}\"}},", "x".repeat(10_000));
        let (mut reader, mut read) = (ListReader::default(), 0);
        reader.read(b"{\"items\": [", |_| Ok(())).unwrap();
        for _ in 0..1000 {
            for piece in object.as_bytes().chunks(4096) {
                reader
                    .read(piece, |_| {
                        read += 1;
                        Ok(())
                    })
                    .unwrap();
            }
        }
        assert_eq!(read, 1000);
        assert!(reader.object.capacity() < 20_000 && reader.frame.capacity() < 10_000, "{}", reader.object.capacity());
    }

    #[test]
    fn what_has_no_end_is_not_kept() {
        for begin in ["{\"items\": [{\"a\": \"", "{\"items\": [], \"kind\": \""] {
            let mut reader = ListReader::default();
            reader.read(begin.as_bytes(), |_| Ok(())).unwrap();
            let piece = vec![b'x'; 1 << 20];
            let taken = (0..100).take_while(|_| reader.read(&piece, |_| Ok(())).is_ok()).count();
            assert_eq!(taken, (LONGEST >> 20) - 1);
        }
    }
}

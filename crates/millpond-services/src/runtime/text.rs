//! Text on its way to a queue: queues take the characters of XML 1.0 and refuse a message with any other, for good. What a lake's services send
//! themselves must not be lost over one character, so that it is written in a way that a queue takes.

use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::fmt::Write;

/// Whether a message of a queue may have this character: "SendMessage" of the SQS API reference.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// The first character that a queue refuses.
pub fn first_refused(text: &str) -> Option<char> {
    // Nearly all text is ASCII without control characters: one look at the bytes.
    let plain = |byte: u8| (0x20..0x80).contains(&byte) || matches!(byte, b'\t' | b'\n' | b'\r');
    if text.bytes().all(plain) {
        return None;
    }
    text.chars().find(|c| !is_allowed(*c))
}

/// The same JSON document, with the characters that a queue refuses as `\u` escapes. Text that is no JSON is answered as it is.
pub fn escaped_json(text: &str) -> Cow<'_, str> {
    // In JSON these characters stand within strings only, so that an escape means the same.
    if first_refused(text).is_none() || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match is_allowed(c) {
            true => escaped.push(c),
            // All of them have four digits at the most.
            false => write!(escaped, "\\u{:04x}", u32::from(c)).expect("a string takes all text"),
        }
    }
    Cow::Owned(escaped)
}

/// Text for people, with the replacement character for each that a queue refuses.
pub fn replaced(text: &str) -> Cow<'_, str> {
    match first_refused(text) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().map(|c| if is_allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn json_means_the_same_when_it_is_escaped() {
        let text = "{\"a\u{fffe}\": \"\u{ffff}é\u{1f600}\\\\\u{ffff}\\u0001\", \"n\": 123456789012345678901234567890}";
        let escaped = escaped_json(text);
        assert_eq!(escaped, r#"{"a\ufffe": "\uffffé😀\\\uffff\u0001", "n": 123456789012345678901234567890}"#);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&escaped), read(text));
    }

    #[test]
    fn what_needs_no_change_or_is_no_json_stays_as_it_is() {
        for text in ["{\"a\":\t\"é\u{1fffe}\u{7f}\"}", "plain", "", "not json \u{ffff}", "\"\u{1}\""] {
            assert!(matches!(escaped_json(text), Cow::Borrowed(found) if found == text), "{text:?}");
        }
    }

    #[test]
    fn each_refused_character_is_replaced_by_one() {
        assert_eq!(replaced("a\0b\u{1}\u{1b}c\u{fffe}\u{ffff}\t\n"), "a\u{fffd}b\u{fffd}\u{fffd}c\u{fffd}\u{fffd}\t\n");
        assert!(matches!(replaced("é\u{10ffff}"), Cow::Borrowed(_)));
    }
}

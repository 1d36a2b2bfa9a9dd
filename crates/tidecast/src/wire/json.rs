//! JSON strings, written by one function.

use bytes::BufMut;

/// Appends a text as a JSON string, with its quotes.
pub fn put_json_string(out: &mut impl BufMut, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // Neither serializing a string nor writing to memory fails.
        let _ = serde_json::to_writer(out.writer(), text);
        return;
    }
    out.put_u8(b'"');
    out.put_slice(text.as_bytes());
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::put_json_string;

    #[test]
    fn a_string_is_written_as_serde_json_writes_it() {
        for text in ["", "plain", "é\u{7f}\u{9b}", "\"", "\\", "\n", "\0", "a\"b\\c\td"] {
            let mut out = Vec::new();
            put_json_string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(text).unwrap());
        }
    }
}

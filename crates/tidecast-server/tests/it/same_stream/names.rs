//! Replaces epochs, which are random, by numbers.

use std::collections::HashMap;

/// The numbers of a hub's epochs, by their first appearance.
#[derive(Default)]
pub(super) struct EpochNumbers(HashMap<String, usize>);

impl EpochNumbers {
    /// Returns the text with each epoch replaced by its number.
    pub(super) fn number(&mut self, text: &str) -> String {
        let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let (bytes, mut out, mut from) = (text.as_bytes(), String::new(), 0);
        while let Some(dot) = bytes[from..].iter().position(|byte| *byte == b'.').map(|at| from + at) {
            let epoch = dot.checked_sub(12).filter(|at| *at >= from && bytes[*at..dot].iter().all(is_hex));
            let before = epoch.unwrap_or(dot);
            out.push_str(&text[from..before]);
            if epoch.is_some() {
                let next = self.0.len();
                let number = *self.0.entry(text[before..dot].to_owned()).or_insert(next);
                out.push_str(&format!("epoch-{number}"));
            }
            out.push('.');
            from = dot + 1;
        }
        out + &text[from..]
    }
}

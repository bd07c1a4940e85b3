//! How deep JSON is nested: parsers go down a level by calling themselves, and a program whose stack is
//! used up is aborted with everything that it does.

/// No answer of the API has more than six.
pub(super) const MOST_DEPTH: i64 = 128;

/// Bytes that are looked at at once: within so many, no parser's stack is used up.
const BLOCK: usize = 4096;

/// Whether an answer has more levels than parsers bear. Brackets in texts are told from others only
/// where their number is suspicious: to look at every text would take longer than to parse it.
pub(super) fn is_too_deep(json: &[u8]) -> bool {
    let mut depth = 0;
    let is_suspicious = json.chunks(BLOCK).any(|block| {
        depth += balance(block);
        !(0..=MOST_DEPTH).contains(&depth)
    });
    is_suspicious && deepest(json) > MOST_DEPTH
}

/// Opening brackets less closing ones.
fn balance(block: &[u8]) -> i64 {
    // Sums of bytes, which the compiler makes of many at once; `[` and `{`, `]` and `}` differ in one bit
    block
        .chunks(255)
        .map(|bytes| {
            let count = |bracket: u8| {
                let is = |byte: &u8| u8::from(byte | 0x20 == bracket);
                bytes
                    .iter()
                    .fold(0_u8, |sum, byte| sum.wrapping_add(is(byte)))
            };
            i64::from(count(b'{')) - i64::from(count(b'}'))
        })
        .sum()
}

/// The most levels, texts left out.
fn deepest(json: &[u8]) -> i64 {
    let (mut depth, mut deepest) = (0_i64, 0);
    let mut bytes = json.iter();
    let mut in_text = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                bytes.next();
            }
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_count_and_brackets_in_texts_do_not() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(128).as_bytes()));
        assert!(is_too_deep(nested(10_000).as_bytes()));
        assert!(is_too_deep(nested(1_000_000).as_bytes()));
        // A level in each block
        let spread = format!("[{}", " ".repeat(BLOCK)).repeat(200);
        assert!(is_too_deep(spread.as_bytes()));
        let text = format!(r#"{{"a":"\"{}"}}"#, "[".repeat(10_000));
        assert!(!is_too_deep(text.as_bytes()));
        let hidden = format!(
            r#"{{"a":"{}","b":{}}}"#,
            "]".repeat(BLOCK * 2),
            nested(9000)
        );
        assert!(is_too_deep(hidden.as_bytes()));
        let rows = format!("[{}[]]", r#"{"a":[[1],{}]},"#.repeat(50_000));
        assert!(!is_too_deep(rows.as_bytes()));
    }
}

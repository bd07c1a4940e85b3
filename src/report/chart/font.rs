//! The font of charts, in the binary, so that a chart looks the same on every machine.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb::{Database, Source};

/// Inter by The Inter Project Authors, SIL Open Font License 1.1 (`fonts/OFL.txt`), cut down to Latin,
/// Cyrillic and Greek. Regular and Bold, because resvg makes no bold of its own.
const FILES: [&[u8]; 2] = [
    include_bytes!("../fonts/Inter-Regular.ttf"),
    include_bytes!("../fonts/Inter-Bold.ttf"),
];

/// As charts name it.
pub(super) const FAMILY: &str = "Inter";

/// What the font has, beside spaces: ranges of code points, as it was cut.
const COVERED: [(char, char); 9] = [
    (' ', '~'),
    ('\u{a0}', '\u{24f}'),
    ('\u{300}', '\u{36f}'),
    ('\u{370}', '\u{3ff}'),
    ('\u{400}', '\u{52f}'),
    ('\u{1e00}', '\u{1eff}'),
    ('\u{2010}', '\u{2027}'),
    ('\u{20a0}', '\u{20bf}'),
    ('\u{2190}', '\u{2193}'),
];

/// Parsed once a process.
pub(super) static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    for file in FILES {
        fonts.load_font_source(Source::Binary(Arc::new(file)));
    }
    Arc::new(fonts)
});

/// A text as the font can write it, at most so many characters: what the font lacks (Arabic, emoji)
/// is an ellipsis rather than boxes, and a long text loses its middle.
pub(super) fn writable(text: &str, most: usize) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let known = COVERED
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&letter));
        if known {
            out.push(letter);
        } else if !out.ends_with('…') {
            out.push('…');
        }
    }
    crate::report::filters::cut(&out, most)
}

/// About how wide a text is at a size, in pixels: digits and lower case of Inter are 0.62 em.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.62
}

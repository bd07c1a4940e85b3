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

/// Parsed once a process.
pub(super) static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    for file in FILES {
        fonts.load_font_source(Source::Binary(Arc::new(file)));
    }
    Arc::new(fonts)
});

/// The code points that the font has, first and last of each range, as its own table says
/// (`cmap`, format 4): the scripts that it was cut down to have gaps.
static COVERED: LazyLock<Vec<(u16, u16)>> = LazyLock::new(|| covered(FILES[0]).unwrap_or_default());

fn covered(font: &[u8]) -> Option<Vec<(u16, u16)>> {
    let two = |at: usize| Some(u16::from_be_bytes([*font.get(at)?, *font.get(at + 1)?]));
    let four = |at: usize| Some(usize::from(two(at)?) << 16 | usize::from(two(at + 2)?));
    let tables = (0..usize::from(two(4)?)).map(|table| 12 + 16 * table);
    let mut maps = tables.filter(|at| font.get(*at..at + 4) == Some(b"cmap"));
    let map = four(maps.next()? + 8)?;
    let subtables = (0..usize::from(two(map + 2)?)).map(|sub| Some(map + four(map + 8 + 8 * sub)?));
    let table = subtables.flatten().find(|at| two(*at) == Some(4))?;
    let bytes = usize::from(two(table + 6)?);
    let ranges = (0..bytes).step_by(2).map(|at| {
        let (last, first) = (two(table + 14 + at)?, two(table + 16 + bytes + at)?);
        Some((first, last))
    });
    ranges.collect()
}

fn has(letter: char) -> bool {
    let Ok(code) = u16::try_from(u32::from(letter)) else {
        return false;
    };
    let is_in = |(first, last): &(u16, u16)| (*first..=*last).contains(&code);
    code != u16::MAX && COVERED.iter().any(is_in)
}

/// Joiners, variation selectors and soft hyphens: nothing is missed without them.
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Whether the font can write all of a text.
pub(super) fn can_write(text: &str) -> bool {
    let mut letters = text.chars().filter(|letter| !is_unseen(*letter));
    letters.all(|letter| has(letter) || letter.is_whitespace() || letter.is_control())
}

/// A text as the font can write it, at most so many characters: what the font lacks (Arabic, emoji)
/// is an ellipsis rather than boxes, and a long text loses its middle.
pub(super) fn writable(text: &str, most: usize) -> String {
    let mut out = String::new();
    for letter in text.chars().filter(|letter| !is_unseen(*letter)) {
        if letter.is_whitespace() || letter.is_control() {
            out.push(' ');
        } else if has(letter) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_font_has_is_read_from_the_font() {
        assert_eq!(covered(FILES[0]), covered(FILES[1]), "regular and bold");
        for letter in ['A', 'é', 'ß', 'Ж', 'ґ', 'Ω', '…', '▲', '€'] {
            assert!(has(letter), "{letter}");
        }
        for letter in ['\u{500}', '\u{3ff}', '中', 'م', '🎉', '\u{30b}', '\u{ffff}'] {
            assert_eq!(has(letter), letter == '\u{3ff}', "{letter}");
        }
    }

    #[test]
    fn what_the_font_lacks_is_an_ellipsis() {
        assert_eq!(writable("مرحبا 🎉", 20), "… …");
        assert_eq!(writable("a\u{200d}\u{fe0f}b\tc\u{2003}d", 20), "ab c d");
        assert_eq!(writable("/價格/x", 20), "/…/x");
        assert!(can_write("/pricing\u{ad}/é") && !can_write("/pricing/價"));
    }
}

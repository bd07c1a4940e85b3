//! Pixels as places in a palette of at most 256 colours.

use std::collections::HashMap;

/// Steps of a channel of soft edges: 16 of them read as smooth at twice the size.
const STEP: u8 = 17;

/// A picture by its palette.
#[derive(Debug)]
pub(super) struct Indexed {
    /// Red, green and blue of each colour.
    pub(super) colors: Vec<u8>,
    /// How opaque each is.
    pub(super) alphas: Vec<u8>,
    /// One place in the palette a pixel.
    pub(super) pixels: Vec<u8>,
}

/// `None` where there are more colours than a palette has, even with edges in steps.
pub(super) fn indexed(rgba: &[u8]) -> Option<Indexed> {
    let mut places: HashMap<[u8; 4], u8> = HashMap::new();
    let mut indexed = Indexed {
        colors: Vec::new(),
        alphas: Vec::new(),
        pixels: Vec::with_capacity(rgba.len() / 4),
    };
    // Neighbours are mostly alike
    let mut last = ([0; 4], None);
    for pixel in rgba.chunks_exact(4) {
        let pixel = [pixel[0], pixel[1], pixel[2], pixel[3]];
        let place = match last {
            (other, Some(place)) if other == pixel => place,
            _ => place_of(stepped(pixel), &mut places, &mut indexed)?,
        };
        indexed.pixels.push(place);
        last = (pixel, Some(place));
    }
    Some(indexed)
}

fn place_of(
    color: [u8; 4],
    places: &mut HashMap<[u8; 4], u8>,
    indexed: &mut Indexed,
) -> Option<u8> {
    if let Some(place) = places.get(&color) {
        return Some(*place);
    }
    let place = u8::try_from(places.len()).ok()?;
    places.insert(color, place);
    indexed.colors.extend(&color[..3]);
    indexed.alphas.push(color[3]);
    Some(place)
}

/// The chart's own colours as they are, at every opacity; what mixes them in steps.
fn stepped([red, green, blue, alpha]: [u8; 4]) -> [u8; 4] {
    let step = |channel: u8| channel.saturating_add(STEP / 2) / STEP * STEP;
    let alpha = step(alpha);
    if alpha == 0 {
        return [0; 4];
    }
    let near = |own: &[u8; 3]| {
        own.iter()
            .zip([red, green, blue])
            .all(|(a, b)| a.abs_diff(b) <= 20)
    };
    let [red, green, blue] =
        OWN.into_iter()
            .find(near)
            .unwrap_or([step(red), step(green), step(blue)]);
    [red, green, blue, alpha]
}

/// As `BAR`, `BEFORE`, `INK`, `GRID` and `ON_BAR` write them.
const OWN: [[u8; 3]; 5] = [
    [0x4f, 0x7f, 0xf0],
    [0xe0, 0x74, 0x1b],
    [0x73, 0x7b, 0x88],
    [0x8a, 0x92, 0xa0],
    [0xff, 0xff, 0xff],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_colors_stay_and_a_photograph_has_no_palette() {
        let two = indexed(&[0x4f, 0x7f, 0xf0, 255, 0x4f, 0x7f, 0xf0, 255, 0, 0, 0, 3]).unwrap();
        assert_eq!(
            (two.colors, two.alphas, two.pixels),
            (vec![0x4f, 0x7f, 0xf0, 0, 0, 0], vec![255, 0], vec![0, 0, 1])
        );
        let many: Vec<u8> = (0..=255_u8)
            .flat_map(|n| (0..=15).flat_map(move |m: u8| [n, m * 17, n / 2, 255]))
            .collect();
        assert!(indexed(&many).is_none());
    }
}

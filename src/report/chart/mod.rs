//! Charts as PNG at twice their size, drawn without a browser: an SVG of ours, through resvg, with
//! a font that is in the binary. They are transparent, in colours that read on white and on black.

mod bars;
mod font;
mod palette;
mod scale;
mod spark;
mod svg;

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree},
};
use sha2::{Digest, Sha256};

pub(super) use bars::{Daily, Lying};
pub(super) use spark::Spark;
pub(super) use svg::escape;

/// Pixels of the PNG for one CSS pixel, so that it is sharp on a phone.
const SCALE: u32 = 2;

/// Contrast of at least 3:1 on white and on `#16181d`, the card of the dark mail (WCAG 1.4.11).
const BAR: &str = "#4f7ff0";
const BEFORE: &str = "#e0741b";
const INK: &str = "#737b88";
const GRID: &str = "#8a92a0";
const ON_BAR: &str = "#ffffff";

/// A picture of a mail, which its HTML names as `cid:CID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Made of the picture's bytes: the same picture has the same.
    pub cid: String,
    /// Twice as wide and high as it is shown.
    pub png: Vec<u8>,
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// The numbers in words, for who sees no picture.
    pub alt: String,
}

impl Image {
    /// The element that shows it. Width and height keep the layout where pictures are blocked.
    pub fn tag(&self) -> String {
        let Self {
            cid, width, height, ..
        } = self;
        let alt = escape(&self.alt);
        format!(
            "<img class=\"chart\" src=\"cid:{cid}\" width=\"{width}\" height=\"{height}\" alt=\"{alt}\" border=\"0\" style=\"display:block;width:100%;max-width:{width}px;height:auto;border:0;outline:none;text-decoration:none;font-size:13px;line-height:18px;color:{INK}\">"
        )
    }
}

/// A chart cannot be drawn: it is an error of the report, never a grey box in a mail.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChartError {
    /// No values at all. A week of zeros is no such case.
    #[error("the chart has no values: leave it out where the query has no rows")]
    Empty,
    /// A value that has no place on the chart.
    #[error("the chart's value `{value}` for `{label}` is no number from 0")]
    Value {
        /// As given.
        value: f64,
        /// Of which bar.
        label: String,
    },
    /// Width or height.
    #[error("the chart is {width} × {height}: give 40 to 1200 wide, 16 to 1200 high")]
    Size {
        /// In CSS pixels.
        width: u32,
        /// In CSS pixels.
        height: u32,
    },
    /// The SVG of ours is not read.
    #[error("the chart cannot be drawn")]
    Svg(#[from] Box<resvg::usvg::Error>),
    /// The picture cannot be packed.
    #[error("the chart cannot be written as PNG")]
    Png(#[from] png::EncodingError),
}

/// Draws an SVG of ours.
fn image(svg: &svg::Svg, (width, height): (u32, u32), alt: String) -> Result<Image, ChartError> {
    let options = Options {
        font_family: font::FAMILY.to_owned(),
        fontdb: font::FONTS.clone(),
        ..Options::default()
    };
    let tree = Tree::from_str(&svg.finish(), &options).map_err(Box::new)?;
    let too_large = || ChartError::Size { width, height };
    let mut pixels = Pixmap::new(width * SCALE, height * SCALE).ok_or_else(too_large)?;
    let scale = SCALE as f32;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixels.as_mut(),
    );
    let png = packed(pixels)?;
    let hash = hex::encode(&Sha256::digest(&png)[..10]);
    Ok(Image {
        cid: format!("chart-{hash}@databuddy-jobs"),
        png,
        width,
        height,
        alt,
    })
}

/// Small, because it travels with every mail: a chart has a few colours and their soft edges, so a
/// palette holds them; where it does not, the pixels stay as they are.
fn packed(pixels: Pixmap) -> Result<Vec<u8>, ChartError> {
    let (width, height) = (pixels.width(), pixels.height());
    let pixels = pixels.take_demultiplied();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    if let Some(indexed) = palette::indexed(&pixels) {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_filter(png::Filter::NoFilter);
        encoder.set_palette(indexed.colors);
        encoder.set_trns(indexed.alphas);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&indexed.pixels)?;
        writer.finish()?;
    } else {
        encoder.set_color(png::ColorType::Rgba);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
    }
    Ok(bytes)
}

/// What every chart asks of its numbers and its size.
fn checked<'a>(
    values: impl IntoIterator<Item = (&'a str, f64)>,
    (width, height): (u32, u32),
) -> Result<(), ChartError> {
    if !(40..=1200).contains(&width) || !(16..=1200).contains(&height) {
        return Err(ChartError::Size { width, height });
    }
    let mut count = 0;
    for (label, value) in values {
        if !value.is_finite() || value < 0.0 {
            let label = label.to_owned();
            return Err(ChartError::Value { value, label });
        }
        count += 1;
    }
    if count == 0 {
        return Err(ChartError::Empty);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! A small writer of SVG: rectangles, lines, dots and text.

use std::fmt::Write as _;

use super::font::FAMILY;

/// Where a text stands at its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) color: &'static str,
    pub(super) anchor: Anchor,
}

/// A drawing in CSS pixels.
#[derive(Debug)]
pub(super) struct Svg {
    width: u32,
    height: u32,
    body: String,
}

impl Svg {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    /// A bar that stands on its lower edge, its upper corners round.
    pub(super) fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        let round = 3.0_f64.min(height).min(width / 2.0);
        self.push(format_args!(
            "<path fill=\"{color}\" d=\"M{x:.2} {:.2}v{:.2}q0 -{round:.2} {round:.2} -{round:.2}h{:.2}q{round:.2} 0 {round:.2} {round:.2}v{:.2}z\"/>",
            y + height,
            round - height,
            width - 2.0 * round,
            height - round,
        ));
    }

    /// A lying bar, its corners round.
    pub(super) fn lying_bar(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        color: &str,
    ) {
        self.push(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" rx=\"3\" fill=\"{color}\"/>"
        ));
    }

    /// A straight line along x.
    pub(super) fn rule(&mut self, y: f64, from: f64, to: f64, color: &str) {
        self.push(format_args!(
            "<path stroke=\"{color}\" stroke-width=\"1\" d=\"M{from:.2} {y:.2}H{to:.2}\"/>"
        ));
    }

    /// A faint line along x.
    pub(super) fn dashes(&mut self, y: f64, from: f64, to: f64, color: &str) {
        self.push(format_args!(
            "<path stroke=\"{color}\" stroke-opacity=\"0.5\" stroke-dasharray=\"2 3\" d=\"M{from:.2} {y:.2}H{to:.2}\"/>"
        ));
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], color: &str) {
        let path = path(points);
        self.push(format_args!(
            "<path fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\" d=\"{path}\"/>"
        ));
    }

    /// The area between a line through points and a base.
    pub(super) fn area(&mut self, points: &[(f64, f64)], base: f64, color: &str) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        let path = path(points);
        self.push(format_args!(
            "<path fill=\"{color}\" fill-opacity=\"0.25\" d=\"{path}L{:.2} {base:.2}L{:.2} {base:.2}z\"/>",
            last.0, first.0
        ));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, color: &str) {
        self.push(format_args!(
            "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"{color}\"/>"
        ));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), text: &str, style: Style) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (size, color) = (style.size, style.color);
        let weight = if style.bold { 700 } else { 400 };
        let text = escape(text);
        self.push(format_args!(
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{color}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// The document.
    pub(super) fn finish(&self) -> String {
        let (width, height, body) = (self.width, self.height, &self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\">{body}</svg>"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        self.body
            .write_fmt(element)
            .expect("writing to a string cannot fail");
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        let step = if at == 0 { 'M' } else { 'L' };
        write!(path, "{step}{x:.2} {y:.2}").expect("writing to a string cannot fail");
    }
    path
}

/// Text and attribute values, for XML and HTML alike.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML 1.0 has no other control characters, not even escaped
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

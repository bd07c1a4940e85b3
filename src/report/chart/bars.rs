//! Bars: one a day against the days before, and one a row.

use super::{
    BAR, BEFORE, ChartError, GRID, INK, Image, ON_BAR, checked, font, image,
    scale::{marks, round_top},
    svg::{Anchor, Style, Svg},
};
use crate::report::lang::Lang;

/// On a phone the chart is shown at three fifths: this still reads there.
const SMALL: f64 = 13.0;
/// Above the bars: the legend.
const HEAD: f64 = 30.0;
/// Below the bars: the days.
const FOOT: f64 = 22.0;
/// So many labels of days fit side by side.
const LABELS: usize = 8;

/// One bar a day, with the days that they are compared with as a line.
#[derive(Debug)]
pub(in crate::report) struct Daily<'a> {
    /// Label and value of each day.
    pub(in crate::report) days: &'a [(String, f64)],
    /// Day for day; a day that has none breaks the line.
    pub(in crate::report) before: &'a [Option<f64>],
    /// What bars and line are, in words.
    pub(in crate::report) legend: (&'a str, &'a str),
    pub(in crate::report) size: (u32, u32),
    pub(in crate::report) lang: Lang,
    pub(in crate::report) alt: String,
}

impl Daily<'_> {
    /// # Errors
    /// There are no days, or a value has no place.
    pub(in crate::report) fn draw(self) -> Result<Image, ChartError> {
        let days = self
            .days
            .iter()
            .map(|(label, value)| (label.as_str(), *value));
        let before = self
            .before
            .iter()
            .flatten()
            .map(|value| (self.legend.1, *value));
        checked(days.clone(), self.size)?;
        if self.before.iter().any(Option::is_some) {
            checked(before.clone(), self.size)?;
        }
        let most = days
            .chain(before)
            .map(|(_, value)| value)
            .fold(0.0, f64::max);
        let top = round_top(most);
        let mut svg = Svg::new(self.size.0, self.size.1);
        let frame = self.frame(top);
        self.grid(&mut svg, &frame, top);
        self.bars(&mut svg, &frame, top);
        self.line(&mut svg, &frame, top);
        self.legend(&mut svg, &frame);
        image(&svg, self.size, self.alt)
    }

    fn frame(&self, top: f64) -> Frame {
        let axis = marks(top)
            .iter()
            .map(|mark| font::width(&self.lang.compact(*mark), SMALL))
            .fold(0.0, f64::max);
        let left = axis + 8.0;
        let right = f64::from(self.size.0) - 1.0;
        Frame {
            left,
            right,
            base: f64::from(self.size.1) - FOOT,
            slot: (right - left) / self.days.len() as f64,
        }
    }

    fn grid(&self, svg: &mut Svg, frame: &Frame, top: f64) {
        let label = Style {
            size: SMALL,
            bold: false,
            color: INK,
            anchor: Anchor::End,
        };
        for mark in marks(top) {
            let y = frame.y(mark, top).round() + 0.5;
            svg.dashes(y, frame.left, frame.right, GRID);
            svg.text((frame.left - 7.0, y + 4.0), &self.lang.compact(mark), label);
        }
        svg.rule(frame.base + 0.5, frame.left, frame.right, GRID);
    }

    fn bars(&self, svg: &mut Svg, frame: &Frame, top: f64) {
        let width = (frame.slot * 0.62).clamp(1.0, 56.0);
        let each = self.days.len().div_ceil(LABELS);
        let below = Style {
            size: SMALL,
            bold: false,
            color: INK,
            anchor: Anchor::Middle,
        };
        let inside = Style {
            bold: true,
            color: ON_BAR,
            ..below
        };
        let over = Style {
            bold: true,
            ..below
        };
        for (at, (label, value)) in self.days.iter().enumerate() {
            let (x, y) = (frame.x(at), frame.y(*value, top));
            if *value > 0.0 {
                // A day with a visitor is seen, however small beside the others
                let height = (frame.base - y).max(1.5);
                svg.bar((x - width / 2.0, frame.base - height), (width, height), BAR);
            }
            let text = self.lang.compact(*value);
            if font::width(&text, SMALL) <= width - 2.0 {
                if frame.base - y > 22.0 {
                    svg.text((x, frame.base - 7.0), &text, inside);
                } else if self
                    .before
                    .get(at)
                    .copied()
                    .flatten()
                    .is_none_or(|b| frame.y(b, top) < frame.base - 28.0 || b == 0.0)
                {
                    svg.text((x, y - 5.0), &text, over);
                }
            }
            if at % each == 0 {
                svg.text((x, frame.base + 17.0), &font::writable(label, 12), below);
            }
        }
    }

    fn line(&self, svg: &mut Svg, frame: &Frame, top: f64) {
        let point = |(at, value): (usize, &Option<f64>)| {
            value.map(|value| (frame.x(at), frame.y(value, top)))
        };
        let points: Vec<_> = self
            .before
            .iter()
            .take(self.days.len())
            .enumerate()
            .map(point)
            .collect();
        for run in points.split(Option::is_none) {
            let run: Vec<_> = run.iter().copied().flatten().collect();
            svg.line(&run, BEFORE);
            for point in &run {
                if self.days.len() <= 2 * LABELS {
                    svg.dot(*point, 3.0, BEFORE);
                }
            }
        }
    }

    fn legend(&self, svg: &mut Svg, frame: &Frame) {
        let style = Style {
            size: SMALL,
            bold: false,
            color: INK,
            anchor: Anchor::Start,
        };
        let (now, before) = (
            font::writable(self.legend.0, 40),
            font::writable(self.legend.1, 40),
        );
        svg.lying_bar((frame.left, 3.0), (11.0, 11.0), BAR);
        svg.text((frame.left + 16.0, 13.0), &now, style);
        if self.before.iter().any(Option::is_some) {
            let x = frame.left + 16.0 + font::width(&now, SMALL) + 14.0;
            svg.line(&[(x, 9.0), (x + 16.0, 9.0)], BEFORE);
            svg.dot((x + 8.0, 9.0), 3.0, BEFORE);
            svg.text((x + 22.0, 13.0), &before, style);
        }
    }
}

/// Where bars stand.
#[derive(Debug)]
struct Frame {
    left: f64,
    right: f64,
    base: f64,
    /// The width that a day has.
    slot: f64,
}

impl Frame {
    fn x(&self, at: usize) -> f64 {
        self.left + (at as f64 + 0.5) * self.slot
    }

    fn y(&self, value: f64, top: f64) -> f64 {
        self.base - value / top * (self.base - HEAD)
    }
}

/// One lying bar a row.
#[derive(Debug)]
pub(in crate::report) struct Lying<'a> {
    /// Name and value of each row.
    pub(in crate::report) rows: &'a [(String, f64)],
    pub(in crate::report) width: u32,
    pub(in crate::report) lang: Lang,
    pub(in crate::report) alt: String,
}

/// The name of a row; with its rank before it where the font lacks letters of it, so that rows of
/// other scripts do not all look alike.
fn label(rank: usize, name: &str, most: usize) -> String {
    let written = font::writable(name, most);
    if font::can_write(name) {
        return written;
    }
    if written.chars().any(char::is_alphanumeric) || written.starts_with('/') {
        return font::writable(&format!("{rank}. {written}"), most);
    }
    format!("{rank}.")
}

impl Lying<'_> {
    /// Of one row, in CSS pixels.
    const ROW: f64 = 24.0;

    /// The rows whose names the picture cannot have, each with the rank that it has instead.
    pub(in crate::report) fn key(rows: &[(String, f64)]) -> Vec<(usize, &str)> {
        let ranked = rows.iter().enumerate();
        let ranked = ranked.map(|(at, (name, _))| (at + 1, name.as_str()));
        ranked.filter(|(_, name)| !font::can_write(name)).collect()
    }

    /// # Errors
    /// There are no rows, or a value has no place.
    pub(in crate::report) fn draw(self) -> Result<Image, ChartError> {
        let rows = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let size = (
            self.width,
            rows.saturating_mul(24).saturating_add(4).max(16),
        );
        checked(
            self.rows
                .iter()
                .map(|(name, value)| (name.as_str(), *value)),
            size,
        )?;
        let most = self
            .rows
            .iter()
            .map(|(_, value)| *value)
            .fold(0.0, f64::max)
            .max(1.0);
        let width = f64::from(self.width);
        let names = width * 0.36;
        let amount = |value: f64| self.lang.num(value);
        let amounts = self
            .rows
            .iter()
            .map(|(_, value)| font::width(&amount(*value), 12.0))
            .fold(0.0, f64::max);
        // A letter of this size takes seven pixels
        let most_letters = self.width as usize * 36 / 100 / 7;
        let style = Style {
            size: 12.0,
            bold: false,
            color: INK,
            anchor: Anchor::Start,
        };
        let mut svg = Svg::new(size.0, size.1);
        for (at, (name, value)) in self.rows.iter().enumerate() {
            let y = at as f64 * Self::ROW + 4.0;
            svg.text((0.0, y + 13.0), &label(at + 1, name, most_letters), style);
            let length = value / most * (width - names - amounts - 16.0);
            if *value > 0.0 {
                svg.lying_bar((names + 6.0, y + 1.0), (length.max(2.0), 15.0), BAR);
            }
            let at_end = Style {
                bold: true,
                anchor: Anchor::End,
                ..style
            };
            svg.text((width - 1.0, y + 13.0), &amount(*value), at_end);
        }
        image(&svg, size, self.alt)
    }
}

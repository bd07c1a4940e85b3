//! A line of a few words' size, without axes.

use super::{BAR, ChartError, GRID, Image, checked, image, svg::Svg};

/// Values in their order.
#[derive(Debug)]
pub(in crate::report) struct Spark<'a> {
    pub(in crate::report) values: &'a [f64],
    pub(in crate::report) size: (u32, u32),
    pub(in crate::report) alt: String,
}

impl Spark<'_> {
    /// # Errors
    /// There are no values, or one has no place.
    pub(in crate::report) fn draw(self) -> Result<Image, ChartError> {
        checked(
            self.values.iter().map(|value| ("sparkline", *value)),
            self.size,
        )?;
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        // Of zeros the line lies on the base
        let most = self.values.iter().copied().fold(0.0, f64::max).max(1.0);
        let (left, right, base) = (3.0, width - 5.0, height - 3.0);
        let step = (right - left) / (self.values.len().max(2) - 1) as f64;
        let point = |(at, value): (usize, &f64)| {
            (left + at as f64 * step, base - value / most * (base - 5.0))
        };
        let mut points: Vec<_> = self.values.iter().enumerate().map(point).collect();
        if let [only] = points[..] {
            points = vec![only, (right, only.1)];
        }
        let mut svg = Svg::new(self.size.0, self.size.1);
        svg.rule(height - 1.5, left, right, GRID);
        svg.area(&points, base, BAR);
        svg.line(&points, BAR);
        svg.dot(points[points.len() - 1], 3.0, BAR);
        image(&svg, self.size, self.alt)
    }
}

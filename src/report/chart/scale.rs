//! The axis of values: a round top, and marks that people can read.

/// The least round number (1, 2, 2.5, 4, 5 or 10 of a power of ten) that holds the largest value; at least 1.
pub(super) fn round_top(most: f64) -> f64 {
    if most <= 1.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let found = steps
        .iter()
        .map(|step| step * power)
        .find(|top| *top >= most);
    found.unwrap_or(most)
}

/// The marks between zero and the top: two where they are whole, else the top alone.
pub(super) fn marks(top: f64) -> Vec<f64> {
    if top >= 10.0 || top % 2.0 == 0.0 {
        vec![top / 2.0, top]
    } else {
        vec![top]
    }
}

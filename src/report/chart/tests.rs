use super::{Daily, Image, Lying, Spark};
use crate::report::lang::Lang;

fn week(values: [f64; 7]) -> Vec<(String, f64)> {
    let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    names.into_iter().map(str::to_owned).zip(values).collect()
}

fn daily(days: &[(String, f64)], before: &[Option<f64>]) -> Result<Image, super::ChartError> {
    let chart = Daily {
        days,
        before,
        legend: ("This week", "Week before"),
        size: (560, 180),
        lang: Lang::En,
        alt: "Visitors".to_owned(),
    };
    chart.draw()
}

/// Pixels of the picture: width, height, RGBA.
fn pixels(image: &Image) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(&image.png));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    (info.width, info.height, bytes)
}

fn of_color(image: &Image, color: [u8; 3]) -> usize {
    let near =
        |pixel: &[u8]| pixel[3] > 200 && pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 4);
    pixels(image)
        .2
        .chunks_exact(4)
        .filter(|pixel| near(pixel))
        .count()
}

const BLUE: [u8; 3] = [0x4f, 0x7f, 0xf0];
const ORANGE: [u8; 3] = [0xe0, 0x74, 0x1b];

#[test]
fn a_week_is_a_small_picture_of_twice_its_size_with_bars_and_a_line() {
    let days = week([120.0, 180.0, 160.0, 240.0, 210.0, 90.0, 60.0]);
    let before = [100.0, 150.0, 170.0, 180.0, 150.0, 80.0, 70.0].map(Some);
    let image = daily(&days, &before).unwrap();
    let (width, height, _) = pixels(&image);
    assert_eq!((width, height), (1120, 360));
    assert!(image.png.len() < 20_000, "{} bytes", image.png.len());
    assert!(of_color(&image, BLUE) > 20_000);
    assert!(of_color(&image, ORANGE) > 1_000);
    let alone = daily(&days, &[]).unwrap();
    assert_eq!(of_color(&alone, ORANGE), 0);
}

#[test]
fn bars_are_as_high_as_their_values() {
    let one = daily(&week([100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), &[]).unwrap();
    let two = daily(&week([100.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0]), &[]).unwrap();
    let legend = of_color(&daily(&week([0.0; 7]), &[]).unwrap(), BLUE);
    let (one, two) = (of_color(&one, BLUE) - legend, of_color(&two, BLUE) - legend);
    // Digits on the bars differ a little where they fall between pixels
    assert!(two.abs_diff(2 * one) < 400, "{one} and {two}");
}

#[test]
fn the_same_numbers_make_the_same_bytes_and_the_same_name() {
    let days = week([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let (one, two) = (daily(&days, &[]).unwrap(), daily(&days, &[]).unwrap());
    assert_eq!(one, two);
    let other = daily(&week([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]), &[]).unwrap();
    assert_ne!(one.cid, other.cid);
}

#[test]
fn a_week_of_zeros_is_a_chart_and_no_week_is_none() {
    daily(&week([0.0; 7]), &[Some(0.0); 7]).unwrap();
    assert!(
        daily(&[], &[])
            .unwrap_err()
            .to_string()
            .contains("no values")
    );
    let odd = daily(&week([1.0, f64::NAN, 0.0, 0.0, 0.0, 0.0, 0.0]), &[]).unwrap_err();
    assert_eq!(
        odd.to_string(),
        "the chart's value `NaN` for `Tue` is no number from 0"
    );
    let below = daily(&week([1.0; 7]), &[Some(-3.0)]).unwrap_err();
    assert!(
        below.to_string().contains("`-3` for `Week before`"),
        "{below}"
    );
    let spark = Spark {
        values: &[],
        size: (120, 28),
        alt: String::new(),
    };
    assert!(spark.draw().is_err());
    let large = Spark {
        values: &[1.0],
        size: (12_000, 28),
        alt: String::new(),
    };
    assert!(large.draw().unwrap_err().to_string().contains("12000"));
}

#[test]
fn numbers_of_any_size_and_a_whole_year_fit() {
    daily(
        &week([4e12, 1.0, 3e9, 0.0, 5e5, 1e12, 2e12]),
        &[Some(3e12); 7],
    )
    .unwrap();
    let year: Vec<_> = (0..365)
        .map(|n| (n.to_string(), f64::from(n % 40)))
        .collect();
    let image = daily(&year, &vec![Some(3.0); 365]).unwrap();
    assert!(image.png.len() < 40_000, "{} bytes", image.png.len());
}

#[test]
fn names_that_the_font_lacks_are_an_ellipsis_and_nothing_is_markup() {
    let rows = [
        ("</text><script>alert(1)</script>".to_owned(), 12_345.0),
        ("مرحبا 🎉".to_owned(), 9.0),
        (
            "/a/very/long/path/that/has/no/end/at/all/and/goes/on".to_owned(),
            0.0,
        ),
    ];
    let chart = Lying {
        rows: &rows,
        width: 560,
        lang: Lang::En,
        alt: "\"<b>".to_owned(),
    };
    let image = chart.draw().unwrap();
    assert_eq!((image.width, image.height), (560, 76));
    assert!(
        image.tag().contains("alt=\"&quot;&lt;b&gt;\""),
        "{}",
        image.tag()
    );
    let key = Lying::key(&rows);
    assert_eq!(key, [(2, "مرحبا 🎉")], "names that the picture cannot have");
}

#[test]
fn bars_whose_names_the_font_lacks_differ_by_their_rank() {
    let draw = |names: [&str; 2]| {
        let rows = names.map(|name| (name.to_owned(), 5.0));
        let chart = Lying {
            rows: &rows,
            width: 560,
            lang: Lang::En,
            alt: String::new(),
        };
        chart.draw().unwrap().png
    };
    let ranked = draw(["/價格", "/关于"]);
    assert_eq!(ranked, draw(["1. /…", "2. /…"]));
    assert_eq!(draw(["🚀", "مرحبا"]), draw(["1.", "2."]));
}

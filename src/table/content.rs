//! What a table says, apart from how it was said: the same for the same rows in another order, for
//! floats that differ in their last digits, for columns in another order, and with or without
//! columns of nulls alone.

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use memchr::memmem;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::SESSION_EVENTS;

/// Bits of a float's mantissa that do not count: identical calls were seen to differ in the
/// sixteenth and seventeenth digit (trap 14, measured); forty bits are twelve digits.
const FLOAT_NOISE_BITS: u32 = 12;

/// From here on those twelve digits would not tell one whole number from the next: whole numbers are
/// compared as they are, and of others fifteen digits.
const LARGE: f64 = 1_099_511_627_776.0;
const LARGE_NOISE_BITS: u32 = 3;

/// What the rows that it was told of say. Rows are a multiset: their hashes are added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    sum: u128,
    rows: u64,
}

impl Content {
    /// Adds rows by their hashes.
    pub fn add(&mut self, hashes: &[u64]) {
        self.rows += hashes.len() as u64;
        for hash in hashes {
            let (low, high) = (mix(hash ^ KEYS[0], KEYS[1]), mix(hash ^ KEYS[2], KEYS[3]));
            let both = u128::from(high) << 64 | u128::from(low);
            self.sum = self.sum.wrapping_add(both);
        }
    }

    /// As manifests keep it, in hex.
    pub fn to_hex(self) -> String {
        format!("{:032x}{:08x}", self.sum, self.rows)
    }
}

/// A hash of each row of a batch.
pub fn row_hashes(batch: &RecordBatch) -> Vec<u64> {
    let mut hashes = vec![KEYS[0]; batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let seed = xxh3_64(field.name().as_bytes());
        // Their ids are fresh in every call (trap 14, measured)
        let is_events = field.name() == SESSION_EVENTS;
        add_column(&mut hashes, column.as_ref(), seed, is_events);
    }
    hashes
}

/// Adds the hash of each value that is not null to that of its row.
fn add_column(hashes: &mut [u64], column: &dyn Array, seed: u64, is_events: bool) {
    let mut add = |value_hash: &dyn Fn(usize) -> u64| {
        let rows = hashes.iter_mut().enumerate();
        for (row, hash) in rows.filter(|(row, _)| column.is_valid(*row)) {
            *hash = hash.wrapping_add(value_hash(row));
        }
    };
    let of_bits = |bits: u64| mix(bits ^ KEYS[1], seed ^ KEYS[2]);
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().values();
            add(&|row| of_bits(values[row].cast_unsigned()));
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            add(&|row| of_bits(without_noise(values[row])));
        }
        DataType::Boolean => {
            let values = column.as_boolean();
            add(&|row| of_bits(u64::from(values.value(row))));
        }
        DataType::Date32 => {
            let values = column.as_primitive::<Date32Type>().values();
            add(&|row| of_bits(i64::from(values[row]).cast_unsigned()));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>().values();
            add(&|row| of_bits(values[row].cast_unsigned()));
        }
        _ => {
            let values = column.as_string::<i32>();
            if is_events {
                add(&|row| events_hash(values.value(row), seed));
            } else {
                add(&|row| xxh3_64_with_seed(values.value(row).as_bytes(), seed));
            }
        }
    }
}

/// The float without its last digits, rounded to the nearest.
fn without_noise(value: f64) -> u64 {
    // Minus zero is zero
    let bits = (value + 0.0).to_bits();
    let noise = match value.abs() {
        small if small < LARGE => FLOAT_NOISE_BITS,
        whole if whole.fract() == 0.0 => return bits,
        _ => LARGE_NOISE_BITS,
    };
    let half = 1 << (noise - 1);
    bits.wrapping_add(half) >> noise
}

/// A list of events `[["id","time",…],…]` without the first text of each.
fn events_hash(json: &str, seed: u64) -> u64 {
    let json = json.as_bytes();
    let mut hash = seed;
    let mut from = 0;
    for open in memmem::find_iter(json, b"[\"") {
        let before = &json[..open];
        let is_event = before.ends_with(b"[") || before.ends_with(b"],");
        if open < from || !is_event {
            continue;
        }
        let id = open + 2;
        let end = memchr::memchr(b'"', &json[id..]).map_or(json.len(), |length| id + length);
        hash = xxh3_64_with_seed(&json[from..id], hash);
        from = end;
    }
    xxh3_64_with_seed(&json[from..], hash)
}

/// Odd constants without a pattern: the digits of pi.
const KEYS: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
];

/// Both halves of a product folded into one.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    fn table(rows: &[(Option<&str>, f64)]) -> RecordBatch {
        let names: ArrayRef = Arc::new(rows.iter().map(|(n, _)| *n).collect::<StringArray>());
        let rates: ArrayRef =
            Arc::new(rows.iter().map(|(_, r)| Some(*r)).collect::<Float64Array>());
        RecordBatch::try_from_iter([("name", names), ("rate", rates)]).unwrap()
    }

    fn content(batches: &[RecordBatch]) -> String {
        let mut content = Content::default();
        for batch in batches {
            content.add(&row_hashes(batch));
        }
        content.to_hex()
    }

    const A: (Option<&str>, f64) = (Some("a"), 14.470_000_000_000_1);
    const B: (Option<&str>, f64) = (Some("b"), 7.0);

    #[test]
    fn order_pages_and_last_digits_change_nothing_and_everything_else_does() {
        let one = content(&[table(&[A, B])]);
        let same = [
            vec![table(&[B, A])],
            vec![table(&[B]), table(&[A])],
            vec![table(&[(Some("a"), 14.470_000_000_000_102), B])],
        ];
        for other in same {
            assert_eq!(content(&other), one);
        }
        let different = [
            table(&[(Some("a"), 14.48), B]),
            table(&[A]),
            table(&[(Some("a"), B.1), (Some("b"), A.1)]),
            table(&[(None, A.1), B]),
            table(&[A, B, B]),
        ];
        for other in different {
            assert_ne!(content(&[other]), one);
        }
    }

    #[test]
    fn large_numbers_are_told_apart_by_each_unit() {
        let of = |value: f64| content(&[table(&[(Some("a"), value)])]);
        for (one, other) in [
            (4_000_000_000_001.0, 4_000_000_000_002.0),
            (5_000_000_000_000_001.0, 5_000_000_000_000_002.0),
            (4_000_000_000_001.25, 4_000_000_000_002.0),
            (1_099_511_627_775.0, 1_099_511_627_776.0),
        ] {
            assert_ne!(of(one), of(other), "{one}");
        }
        assert_eq!(of(4_000_000_000_001.25), of(4_000_000_000_001.250_5));
    }

    #[test]
    fn neither_the_order_of_columns_nor_one_of_nulls_alone_changes_anything() {
        let rows = table(&[A, B]);
        let nulls: ArrayRef = Arc::new(Int64Array::new_null(2));
        let [name, rate] = [0, 1].map(|at| Arc::clone(rows.column(at)));
        let columns = [("new", nulls), ("rate", rate), ("name", name)];
        let other = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(content(&[other]), content(&[rows]));
    }

    #[test]
    fn the_fresh_ids_of_session_events_do_not_count_and_the_events_do() {
        let one = |events: &str| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![events]));
            content(&[RecordBatch::try_from_iter([("events", column)]).unwrap()])
        };
        let events =
            r#"[["id-1","2026-11-16 10:00:00","view","/a[",null],["id-2","t","buy","/",null]]"#;
        assert_eq!(one(events), one(&events.replace("id-", "another-")));
        assert_ne!(one(events), one(&events.replace("buy", "sell")));
        assert_ne!(one(events), one("[]"));
    }

    #[test]
    fn the_hash_is_the_same_in_every_version_of_the_program() {
        // Manifests keep it: a change here would stage every partition again
        assert_eq!(
            content(&[table(&[(Some("a"), 1.5)])]),
            "5c976a799de1fc988f9967655de4b48800000001"
        );
    }
}

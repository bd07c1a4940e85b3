//! CSV and JSON lines, plain or packed.

use std::io::{self, Write};

use arrow::{
    datatypes::SchemaRef,
    error::ArrowError,
    json::{self, writer::LineDelimited},
    record_batch::RecordBatch,
};
use flate2::write::GzEncoder;

use super::{csv::CsvWriter, hashed::Hashed, stage::FileStyle};
use crate::domain::job::{Compression, Format};

/// Fast, and within a few percent of the levels that take much longer.
const ZSTD_LEVEL: u32 = 3;

/// What can go wrong with a file of text.
#[derive(Debug)]
pub(super) enum TextError {
    Io(io::Error),
    Arrow(ArrowError),
}

impl From<io::Error> for TextError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ArrowError> for TextError {
    fn from(error: ArrowError) -> Self {
        match error {
            // A full disk is one whoever meets it
            ArrowError::IoError(_, source) => Self::Io(source),
            error => Self::Arrow(error),
        }
    }
}

/// A file of text in the making.
#[derive(Debug)]
pub(super) struct TextFile {
    out: Packed,
    /// `None`: JSON lines.
    csv: Option<CsvWriter>,
}

impl TextFile {
    pub(super) fn begin(
        schema: &SchemaRef,
        style: &FileStyle,
        out: Hashed,
    ) -> Result<Self, TextError> {
        let mut out = Packed::new(style, out)?;
        let csv = match style.format {
            Format::Csv => {
                let mut csv = CsvWriter::new(style.csv.clone());
                out.write_all(csv.header(schema))?;
                Some(csv)
            }
            _ => None,
        };
        Ok(Self { out, csv })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), TextError> {
        if let Some(csv) = &mut self.csv {
            return Ok(self.out.write_all(csv.rows(batch)?)?);
        }
        // Every row has every key, so that each reader sees the same columns
        let builder = json::WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, LineDelimited>(&mut self.out);
        writer.write(batch)?;
        Ok(writer.finish()?)
    }

    pub(super) fn finish(self) -> Result<Hashed, TextError> {
        Ok(self.out.finish()?)
    }
}

/// The packing of a whole file. Neither gzip nor zstd writes a time or a name into it, so the same
/// rows give the same bytes.
enum Packed {
    Plain(Hashed),
    Gzip(GzEncoder<Hashed>),
    Zstd(zstd::Encoder<'static, Hashed>),
}

impl Packed {
    fn new(style: &FileStyle, out: Hashed) -> io::Result<Self> {
        Ok(match style.compression {
            Compression::None | Compression::Snappy => Self::Plain(out),
            Compression::Gzip => {
                let level = style
                    .level
                    .map_or_else(Default::default, flate2::Compression::new);
                Self::Gzip(GzEncoder::new(out, level))
            }
            Compression::Zstd => {
                let level = i32::try_from(style.level.unwrap_or(ZSTD_LEVEL)).unwrap_or(i32::MAX);
                Self::Zstd(zstd::Encoder::new(out, level)?)
            }
        })
    }

    fn finish(self) -> io::Result<Hashed> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(out) => out.finish(),
            Self::Zstd(out) => out.finish(),
        }
    }
}

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
            Self::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
            Self::Zstd(out) => out.flush(),
        }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packed")
    }
}

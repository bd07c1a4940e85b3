//! A file that is hashed while it is written.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use sha2::{Digest, Sha256};

/// Bytes that are collected before they are hashed and written.
const BUFFER_BYTES: usize = 128 << 10;

/// A file that is hashed while it is written.
#[derive(Debug)]
pub(super) struct Hashed(BufWriter<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Hashed {
    pub(super) fn new(file: File) -> Self {
        let inner = Inner {
            file,
            hasher: Sha256::new(),
            bytes: 0,
        };
        Self(BufWriter::with_capacity(BUFFER_BYTES, inner))
    }

    /// Size and SHA-256 (hex) of what was written, which is durable then.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        let inner = self
            .0
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        inner.file.sync_all()?;
        Ok((inner.bytes, hex::encode(inner.hasher.finalize())))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Inner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

//! Pieces of answers that are ready in memory, plain and packed, so that sending one costs next to nothing.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Crc, FlushCompress};

use super::rows::Shape;

/// Rows of a block, and the most of a page.
pub(crate) const BLOCK: usize = 10_000;

/// Blocks that differ; after them they repeat. The program refuses pages that repeat rows of the last
/// twelve to twenty-four pages, so it does not mind.
const DISTINCT: usize = 100;

/// The rows of one shape, made when they are first asked for.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) shape: Shape,
    blocks: Vec<OnceLock<Block>>,
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Text(String),
    Part(Bytes),
    Whole(&'a Block),
}

/// Ten thousand rows: `{…},{…}`.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    /// Where each row begins, and where one more would.
    starts: Vec<usize>,
    packed: OnceLock<Packed>,
}

/// Bytes deflated on their own up to a byte's end, so that they can stand anywhere in a stream.
#[derive(Debug)]
struct Packed {
    bytes: Bytes,
    crc: Crc,
}

impl Rows {
    pub(crate) fn of(shape: Shape) -> Self {
        let blocks = (0..DISTINCT).map(|_| OnceLock::new()).collect();
        Self { shape, blocks }
    }

    /// Makes what the first `rows` rows need, so that no measured run waits for it.
    pub(crate) fn prepare(&self, rows: usize, is_packed: bool) {
        for number in 0..rows.div_ceil(BLOCK).min(DISTINCT) {
            let block = self.block(number);
            if is_packed {
                block.packed();
            }
        }
    }

    /// The rows from one number to before another, with commas between.
    pub(crate) fn pieces<'a>(&'a self, from: usize, to: usize, out: &mut Vec<Piece<'a>>) {
        let mut at = from;
        while at < to {
            let (block, first) = (self.block(at / BLOCK), at % BLOCK);
            let last = (first + to - at).min(BLOCK);
            if at > from {
                out.push(Piece::Text(",".to_owned()));
            }
            out.push(if last - first == BLOCK {
                Piece::Whole(block)
            } else {
                Piece::Part(block.slice(first, last))
            });
            at += last - first;
        }
    }

    fn block(&self, number: usize) -> &Block {
        let number = number % DISTINCT;
        self.blocks[number].get_or_init(|| Block::new(self.shape, number))
    }
}

impl Block {
    fn new(shape: Shape, number: usize) -> Self {
        let (mut text, mut starts) = (String::new(), Vec::with_capacity(BLOCK + 1));
        for row in number * BLOCK..(number + 1) * BLOCK {
            starts.push(text.len());
            shape.write(row, &mut text);
            text.push(',');
        }
        starts.push(text.len());
        text.pop();
        Self {
            bytes: text.into(),
            starts,
            packed: OnceLock::new(),
        }
    }

    fn slice(&self, first: usize, last: usize) -> Bytes {
        self.bytes.slice(self.starts[first]..self.starts[last] - 1)
    }

    fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| Packed::of(&self.bytes))
    }
}

impl Packed {
    fn of(plain: &[u8]) -> Self {
        let mut deflate = Compress::new(Compression::default(), false);
        let mut bytes = Vec::with_capacity(plain.len() / 3 + 64);
        let mut done = 0;
        loop {
            deflate
                .compress_vec(&plain[done..], &mut bytes, FlushCompress::Sync)
                .expect("memory can always be deflated");
            done = usize::try_from(deflate.total_in()).expect("it is the length of a slice");
            // Spare room says that everything is out
            if done == plain.len() && bytes.len() < bytes.capacity() {
                break;
            }
            bytes.reserve(64 << 10);
        }
        let mut crc = Crc::new();
        crc.update(plain);
        Self {
            bytes: bytes.into(),
            crc,
        }
    }
}

/// The pieces as they are.
pub(crate) fn plain(pieces: Vec<Piece<'_>>) -> Vec<Bytes> {
    let bytes = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => text.into(),
        Piece::Part(bytes) => bytes,
        Piece::Whole(block) => block.bytes.clone(),
    });
    bytes.collect()
}

/// One gzip member of the pieces (RFC 1952): header, deflated pieces, an empty last block, checksum, length.
pub(crate) fn packed(pieces: Vec<Piece<'_>>) -> Vec<Bytes> {
    const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    const LAST_BLOCK: &[u8] = &[3, 0];
    let mut out = vec![Bytes::from_static(HEADER)];
    let mut crc = Crc::new();
    let mut add = |packed: &Packed| {
        crc.combine(&packed.crc);
        out.push(packed.bytes.clone());
    };
    for piece in pieces {
        match piece {
            Piece::Text(text) => add(&Packed::of(text.as_bytes())),
            Piece::Part(bytes) => add(&Packed::of(&bytes)),
            Piece::Whole(block) => add(block.packed()),
        }
    }
    let mut end = BytesMut::from(LAST_BLOCK);
    end.put_u32_le(crc.sum());
    end.put_u32_le(crc.amount());
    out.push(end.freeze());
    out
}

//! Bodies of answers, read into memory that is used again.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Bytes, BytesMut};
use reqwest::Response;

/// The largest answer whose memory is kept for the next one.
const MAX_SPARE_BYTES: usize = 2 << 20;

/// What the last answers tell of the next.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// Bytes of the last one.
    last: AtomicUsize,
    /// The memory of a page that was read, for the next one.
    spare: Mutex<Option<BytesMut>>,
}

impl Bodies {
    /// The body; `None` where it is larger than that.
    pub(super) async fn read(
        &self,
        mut response: Response,
        max_bytes: usize,
    ) -> Result<Option<Bytes>, reqwest::Error> {
        let announced = response
            .content_length()
            .and_then(|n| usize::try_from(n).ok());
        // Of a packed answer no length is announced: it is likely as long as the last one
        let likely = announced.unwrap_or_else(|| self.last.load(Ordering::Relaxed));
        let likely = likely.min(max_bytes);
        let spare = self.spare().filter(|spare| spare.capacity() >= likely);
        // A little more than this page needs: reserving more later would double it
        let mut body = spare.unwrap_or_else(|| BytesMut::with_capacity(likely + likely / 32));
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > max_bytes {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        self.last.store(body.len(), Ordering::Relaxed);
        Ok(Some(body.freeze()))
    }

    fn spare(&self) -> Option<BytesMut> {
        let mut spare = self.spare.lock().ok()?;
        spare.take()
    }

    /// Keeps the memory of an answer for the next one: fresh memory costs a page fault every 4 KB, which
    /// tells where rows are small.
    pub(super) fn reuse(&self, answer: Bytes) {
        if answer.len() <= MAX_SPARE_BYTES
            && let Ok(mut memory) = answer.try_into_mut()
            && let Ok(mut spare) = self.spare.lock()
        {
            memory.clear();
            *spare = Some(memory);
        }
    }
}

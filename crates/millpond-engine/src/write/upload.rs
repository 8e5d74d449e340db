//! The bytes of a file under construction, which are sent on in parts.

use super::{Output, WriteError};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// Bytes of an upload's part at least (S3's own limit is 5 MiB).
pub(crate) const PART_BYTES: usize = 8 << 20;

/// Bytes that were written and not yet sent on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<Vec<u8>>>);

impl Outbox {
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One file on its way into the store.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    handle: Handle,
    path: Path,
    outbox: Outbox,
    parts: Option<Box<dyn MultipartUpload>>,
    sent: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Upload {
    /// A new file of an output.
    pub(crate) fn new(output: &Output) -> Self {
        let (store, handle) = (Arc::clone(&output.store), output.handle.clone());
        Self { store, handle, path: (output.new_path)(), outbox: Outbox::default(), parts: None, sent: 0 }
    }

    /// Where its bytes are to be written.
    pub(crate) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Bytes that were sent on.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that wait in memory.
    pub(crate) fn held(&self) -> usize {
        self.outbox.len()
    }

    /// Sends on what waits, when it is enough for a part.
    pub(crate) fn send_full_part(&mut self) -> Result<(), WriteError> {
        if self.outbox.len() < PART_BYTES {
            return Ok(());
        }
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(self.handle.block_on(self.store.put_multipart(&self.path))?),
        };
        let part = self.outbox.take();
        self.sent += part.len() as u64;
        Ok(self.handle.block_on(parts.put_part(PutPayload::from(part)))?)
    }

    /// Sends the rest; answers where the file is, and its size.
    pub(crate) fn close(mut self) -> Result<(Path, u64), WriteError> {
        let rest = self.outbox.take();
        let size = self.sent + rest.len() as u64;
        match &mut self.parts {
            None => drop(self.handle.block_on(self.store.put(&self.path, PutPayload::from(rest)))?),
            Some(parts) => {
                if !rest.is_empty() {
                    self.handle.block_on(parts.put_part(PutPayload::from(rest)))?;
                }
                self.handle.block_on(parts.complete())?;
            }
        }
        Ok((self.path, size))
    }

    /// Gives the file up; nothing of it stays.
    pub(crate) fn abort(mut self) {
        if let Some(parts) = &mut self.parts {
            // What an aborted upload leaves behind is collected with other orphans.
            let _ = self.handle.block_on(parts.abort());
        }
    }
}

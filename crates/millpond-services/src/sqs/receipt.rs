//! Receipt handles: what a receive gave out, signed by the queue, so that no row is needed for them and nobody can make one up.

use super::SqsError;
use super::queue::Queue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const VERSION: u8 = 1;
const FIELDS: usize = 1 + 8 + 8 + 8 + 4 + 8;
const SIGNATURE: usize = 16;

/// One receive of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) sent_ms: i64,
    pub(super) id: i64,
    /// The how manieth receive of the message it was.
    pub(super) receives: u32,
    /// When it was.
    pub(super) taken_ms: i64,
}

impl Receipt {
    pub(super) fn handle(&self, queue: &Queue) -> String {
        let mut bytes = Vec::with_capacity(FIELDS + SIGNATURE);
        bytes.push(VERSION);
        bytes.extend(queue.id.to_be_bytes());
        bytes.extend(self.sent_ms.to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.receives.to_be_bytes());
        bytes.extend(self.taken_ms.to_be_bytes());
        let signature = signer(queue, &bytes).finalize().into_bytes();
        bytes.extend(&signature[..SIGNATURE]);
        STANDARD.encode(bytes)
    }

    /// # Errors
    /// [`SqsError::ReceiptHandleIsInvalid`] where this queue did not make it.
    pub(super) fn read(queue: &Queue, handle: &str) -> Result<Self, SqsError> {
        let invalid = || SqsError::ReceiptHandleIsInvalid(handle.chars().take(1024).collect());
        // Longer ones are not even decoded.
        let bytes = (handle.len() <= 128).then(|| STANDARD.decode(handle).ok()).flatten().ok_or_else(invalid)?;
        if bytes.len() != FIELDS + SIGNATURE || bytes[0] != VERSION {
            return Err(invalid());
        }
        let (fields, signature) = bytes.split_at(FIELDS);
        signer(queue, fields).verify_truncated_left(signature).map_err(|_| invalid())?;
        let long = |at: usize| i64::from_be_bytes(fields[at..at + 8].try_into().expect("eight bytes"));
        if long(1) != queue.id {
            return Err(invalid());
        }
        let receives = u32::from_be_bytes(fields[25..29].try_into().expect("four bytes"));
        Ok(Self { sent_ms: long(9), id: long(17), receives, taken_ms: long(29) })
    }
}

fn signer(queue: &Queue, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = queue.signer.clone();
    mac.update(bytes);
    mac
}

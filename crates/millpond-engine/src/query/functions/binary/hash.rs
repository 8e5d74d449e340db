//! Hashes and checksums.

use super::{murmur, spooky};
use crate::query::functions::call::{Call, each};
use crate::query::functions::{Function, function};
use arrow::array::ArrayRef;
use datafusion::common::Result;
use hmac::{Hmac, Mac};
use sha2::Digest;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("md5", HASH, |call| each!(call, BytesOut, |bytes: 0 bytes| Some(md5::Md5::digest(bytes)))),
        function("sha1", HASH, |call| each!(call, BytesOut, |bytes: 0 bytes| Some(sha1::Sha1::digest(bytes)))),
        function("sha256", HASH, |call| each!(call, BytesOut, |bytes: 0 bytes| Some(sha2::Sha256::digest(bytes)))),
        function("sha512", HASH, |call| each!(call, BytesOut, |bytes: 0 bytes| Some(sha2::Sha512::digest(bytes)))),
        function("hmac_md5", KEYED, |call| {
            keyed(call, |key, bytes| {
                Hmac::<md5::Md5>::new_from_slice(key).map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec())
            })
        }),
        function("hmac_sha1", KEYED, |call| {
            keyed(call, |key, bytes| {
                Hmac::<sha1::Sha1>::new_from_slice(key).map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec())
            })
        }),
        function("hmac_sha256", KEYED, |call| {
            keyed(call, |key, bytes| {
                Hmac::<sha2::Sha256>::new_from_slice(key).map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec())
            })
        }),
        function("hmac_sha512", KEYED, |call| {
            keyed(call, |key, bytes| {
                Hmac::<sha2::Sha512>::new_from_slice(key).map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec())
            })
        }),
        function("crc32", &["(varbinary) -> bigint"], |call| {
            each!(call, IntOut, |bytes: 0 bytes| {
                let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
                Some(sum.cast_signed())
            })
        }),
        function("xxhash64", HASH, |call| each!(call, BytesOut, |bytes: 0 bytes| Some(xxhash64(bytes).to_be_bytes()))),
        function("murmur3", HASH, |call| each!(call, BytesOut, |bytes: 0 bytes| Some(murmur::hash128(bytes)))),
        function(
            "spooky_hash_v2_32",
            HASH,
            |call| each!(call, BytesOut, |bytes: 0 bytes| Some(spooky::hash32(bytes).to_be_bytes())),
        ),
        function(
            "spooky_hash_v2_64",
            HASH,
            |call| each!(call, BytesOut, |bytes: 0 bytes| Some(spooky::hash64(bytes).to_be_bytes())),
        ),
    ]
}

const HASH: &[&str] = &["(varbinary) -> varbinary"];
const KEYED: &[&str] = &["(varbinary, varbinary) -> varbinary"];

/// A code by a key, of bytes.
type Keyed = fn(&[u8], &[u8]) -> std::result::Result<Vec<u8>, hmac::digest::InvalidLength>;

fn keyed(call: &Call<'_>, code: Keyed) -> Result<ArrayRef> {
    each!(call, BytesOut, |bytes: 0 bytes, key: 1 bytes| Some(code(key, bytes).expect("HMAC takes keys of any length")))
}

/// With seed 0.
pub(in crate::query::functions) fn xxhash64(bytes: &[u8]) -> u64 {
    twox_hash::XxHash64::oneshot(0, bytes)
}

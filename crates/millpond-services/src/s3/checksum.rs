//! Checksums of objects: computed as the bytes come, compared with what the caller gave, combined over the parts of an upload.
//!
//! What the algorithms are called and which types they allow in multipart uploads is in the S3 user guide, "Checking object integrity".

use super::S3Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

/// A checksum algorithm of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// The header (or trailer) that carries a value of it.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// The algorithm of AWS's name, in any case of letters.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The algorithm of a header.
    pub fn of_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name))
    }

    /// The bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The type that a multipart upload of this algorithm has where none is asked for.
    pub fn default_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        }
    }

    /// Whether a multipart upload may have this algorithm with this type.
    pub fn allows(self, kind: ChecksumType) -> bool {
        match kind {
            ChecksumType::FullObject => self.crc().is_some(),
            ChecksumType::Composite => self != Self::Crc64Nvme,
        }
    }

    /// Decodes a value in base64.
    ///
    /// # Errors
    /// `InvalidRequest` where it is not one.
    pub fn decode(self, text: &str) -> Result<Vec<u8>, S3Error> {
        let value = BASE64.decode(text.trim()).ok().filter(|value| value.len() == self.width());
        value.ok_or_else(|| S3Error::InvalidRequest(format!("Value for {} header is invalid.", self.header())))
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Of what a multipart object's checksum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChecksumType {
    /// Of the parts' checksums; written with `-` and the number of parts.
    Composite,
    /// Of all bytes.
    FullObject,
}

impl ChecksumType {
    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// The type of AWS's name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Composite, Self::FullObject].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// Bytes in base64.
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

enum State {
    Crc(Algorithm, crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    Md5(Md5),
    XxHash64(XxHash64),
    XxHash3(Box<XxHash3_64>),
    XxHash128(Box<XxHash3_128>),
}

/// A checksum in the making.
pub struct Hasher(State);

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match (algorithm, algorithm.crc()) {
            (_, Some(crc)) => State::Crc(algorithm, crc_fast::Digest::new(crc)),
            (Algorithm::Sha1, _) => State::Sha1(Sha1::new()),
            (Algorithm::Sha512, _) => State::Sha512(Sha512::new()),
            (Algorithm::Md5, _) => State::Md5(Md5::new()),
            (Algorithm::XxHash64, _) => State::XxHash64(XxHash64::with_seed(0)),
            (Algorithm::XxHash3, _) => State::XxHash3(Box::new(XxHash3_64::new())),
            (Algorithm::XxHash128, _) => State::XxHash128(Box::new(XxHash3_128::new())),
            (Algorithm::Sha256 | Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme, _) => State::Sha256(Sha256::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        use std::hash::Hasher as _;
        match &mut self.0 {
            State::Crc(_, digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
            State::Sha512(digest) => digest.update(bytes),
            State::Md5(digest) => digest.update(bytes),
            State::XxHash64(digest) => digest.write(bytes),
            State::XxHash3(digest) => digest.write(bytes),
            State::XxHash128(digest) => digest.write(bytes),
        }
    }

    /// The value, most significant byte first.
    pub fn finish(self) -> Vec<u8> {
        use std::hash::Hasher as _;
        match self.0 {
            State::Crc(algorithm, digest) => digest.finalize().to_be_bytes()[8 - algorithm.width()..].to_vec(),
            State::Sha1(digest) => digest.finalize().to_vec(),
            State::Sha256(digest) => digest.finalize().to_vec(),
            State::Sha512(digest) => digest.finalize().to_vec(),
            State::Md5(digest) => digest.finalize().to_vec(),
            State::XxHash64(digest) => digest.finish().to_be_bytes().to_vec(),
            State::XxHash3(digest) => digest.finish().to_be_bytes().to_vec(),
            State::XxHash128(digest) => digest.finish_128().to_be_bytes().to_vec(),
        }
    }
}

/// The checksum of parts one after another, from their checksums and sizes in bytes.
///
/// `None` where the algorithm does not allow it: only CRCs can be combined to one of the whole object.
pub fn combine(algorithm: Algorithm, kind: ChecksumType, parts: &[(Vec<u8>, u64)]) -> Option<String> {
    match kind {
        ChecksumType::Composite => {
            let mut hasher = Hasher::new(algorithm);
            parts.iter().for_each(|(value, _)| hasher.update(value));
            Some(format!("{}-{}", base64(&hasher.finish()), parts.len()))
        }
        ChecksumType::FullObject => {
            let crc = algorithm.crc()?;
            let number = |value: &[u8]| value.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            let (first, rest) = parts.split_first()?;
            let whole = rest.iter().fold(number(&first.0), |sum, (value, size)| {
                if *size == 0 { sum } else { crc_fast::checksum_combine(crc, sum, number(value), *size) }
            });
            Some(base64(&whole.to_be_bytes()[8 - algorithm.width()..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(algorithm);
        bytes.chunks(7).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    #[test]
    fn checksums_are_those_of_published_test_values() {
        // "123456789": the check values of the CRC catalogue, and those of the hash functions' reference implementations.
        for (algorithm, expected) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (Algorithm::XxHash64, "8cb841db40e6ae83"),
        ] {
            assert_eq!(hex::encode(sum(algorithm, b"123456789")), expected, "{algorithm}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(sum(algorithm, b"x").len(), algorithm.width(), "{algorithm}");
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::of_header(algorithm.header()), Some(algorithm));
        }
    }

    #[test]
    fn a_full_object_checksum_of_parts_is_that_of_their_bytes_together() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n * 7 % 253) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            for cuts in [&[100_000][..], &[1, 99_999], &[60_000, 0, 40_000], &[10, 20, 30, 99_940]] {
                let mut from = 0;
                let parts: Vec<_> = cuts
                    .iter()
                    .map(|size| {
                        let part = &bytes[from..from + size];
                        from += size;
                        (sum(algorithm, part), *size as u64)
                    })
                    .collect();
                let combined = combine(algorithm, ChecksumType::FullObject, &parts);
                assert_eq!(combined, Some(base64(&sum(algorithm, &bytes))), "{algorithm} {cuts:?}");
            }
        }
        assert_eq!(combine(Algorithm::Sha1, ChecksumType::FullObject, &[(vec![0; 20], 1)]), None);
    }

    #[test]
    fn a_value_of_the_wrong_width_is_refused() {
        assert!(Algorithm::Crc32.decode("AAAAAA==").is_ok());
        for wrong in ["", "AAAA", "AAAAAAA=", "not base64!", "AAAAAAAAAAA="] {
            assert!(Algorithm::Crc32.decode(wrong).is_err(), "{wrong}");
        }
    }
}

//! Compression of files: its names in statements, in the catalog and in files.

use super::OutputFormat;
use crate::query::QueryError;
use parquet::basic::{GzipLevel, ZstdLevel};

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not.
    None,
    /// RFC 1952; DEFLATE inside Parquet.
    Gzip,
    /// Snappy.
    Snappy,
    /// Zstandard.
    Zstd,
    /// LZ4; in Parquet its raw form.
    Lz4,
    /// RFC 1950, and ORC's DEFLATE.
    Zlib,
    /// bzip2.
    Bzip2,
    /// RFC 1951, Avro's.
    Deflate,
}

impl Codec {
    /// The codec that a name in a statement means, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "NONE" | "UNCOMPRESSED" => Self::None,
            "GZIP" => Self::Gzip,
            "SNAPPY" => Self::Snappy,
            "ZSTD" => Self::Zstd,
            "LZ4" => Self::Lz4,
            "ZLIB" => Self::Zlib,
            "BZIP2" => Self::Bzip2,
            "DEFLATE" => Self::Deflate,
            _ => return None,
        })
    }

    /// The name in statements and in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Gzip => "GZIP",
            Self::Snappy => "SNAPPY",
            Self::Zstd => "ZSTD",
            Self::Lz4 => "LZ4",
            Self::Zlib => "ZLIB",
            Self::Bzip2 => "BZIP2",
            Self::Deflate => "DEFLATE",
        }
    }
}

/// A codec, and how hard it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// How.
    pub codec: Codec,
    /// Of Zstandard: 1..=22; `None`: the default, 3.
    pub level: Option<i32>,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self { codec, level: None }
    }
}

impl Compression {
    /// What Athena writes where nothing is said (Athena user guide, "Athena compression support").
    pub fn default_of(format: &OutputFormat) -> Self {
        match format {
            OutputFormat::Parquet | OutputFormat::Json(_) | OutputFormat::Text(_) => Codec::Gzip.into(),
            OutputFormat::Orc => Codec::Zlib.into(),
            // The guide names no default for Avro; Athena's engine (Trino) writes none.
            OutputFormat::Avro => Codec::None.into(),
        }
    }

    /// Checks that files of this format can be compressed so.
    ///
    /// # Errors
    /// [`QueryError::NotSupported`] with those that can be.
    pub fn check(self, format: &OutputFormat) -> Result<Self, QueryError> {
        use Codec::{Bzip2, Deflate, Gzip, Lz4, None, Snappy, Zlib, Zstd};
        let (name, codecs): (_, &[Codec]) = match format {
            OutputFormat::Parquet => ("PARQUET", &[None, Gzip, Snappy, Zstd, Lz4]),
            OutputFormat::Orc => ("ORC", &[None, Zlib, Snappy, Zstd, Lz4]),
            OutputFormat::Avro => ("AVRO", &[None, Deflate, Snappy, Zstd, Bzip2]),
            OutputFormat::Json(_) => ("JSON", &[None, Gzip, Zstd, Bzip2, Deflate]),
            OutputFormat::Text(_) => ("TEXTFILE", &[None, Gzip, Zstd, Bzip2, Deflate]),
        };
        if !codecs.contains(&self.codec) {
            let names: Vec<&str> = codecs.iter().map(|codec| codec.name()).collect();
            return Err(QueryError::NotSupported(format!(
                "{name} files cannot be written with {} compression: use one of {}",
                self.codec.name(),
                names.join(", ")
            )));
        }
        if let Some(level) = self.level
            && (self.codec != Zstd || !(1..=22).contains(&level))
        {
            return Err(QueryError::NotSupported(format!(
                "compression_level {level} with {} compression: it is for ZSTD only, from 1 to 22",
                self.codec.name()
            )));
        }
        Ok(self)
    }

    /// Of Zstandard.
    pub(super) fn zstd_level(self) -> i32 {
        self.level.unwrap_or(3)
    }

    /// In Parquet's terms.
    pub(super) fn parquet(self) -> parquet::basic::Compression {
        use parquet::basic::Compression as Parquet;
        match self.codec {
            Codec::None => Parquet::UNCOMPRESSED,
            Codec::Gzip | Codec::Zlib | Codec::Deflate | Codec::Bzip2 => Parquet::GZIP(GzipLevel::default()),
            Codec::Snappy => Parquet::SNAPPY,
            Codec::Zstd => Parquet::ZSTD(ZstdLevel::try_new(self.zstd_level()).unwrap_or_default()),
            Codec::Lz4 => Parquet::LZ4_RAW,
        }
    }

    /// The end of the names of text and JSON files: what their readers find the compression by.
    pub fn extension(self) -> &'static str {
        match self.codec {
            Codec::Gzip => ".gz",
            Codec::Zstd => ".zst",
            Codec::Bzip2 => ".bz2",
            Codec::Deflate | Codec::Zlib => ".deflate",
            Codec::Snappy => ".snappy",
            Codec::Lz4 => ".lz4",
            Codec::None => "",
        }
    }
}

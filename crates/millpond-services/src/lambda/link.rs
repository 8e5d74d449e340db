//! Links to packages that work without a signature of AWS's: they carry their own, and end after a while. Also markers of listings.

use super::{Lambda, LambdaError, sql};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::StreamExt;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What the paths of links begin with.
pub const LINK_PREFIX: &str = "/_lambda/code/";

/// A link works so long, in milliseconds: "GetFunction".
const VALID_MS: i64 = 10 * 60 * 1000;

impl Lambda {
    /// A link to a package, by its hash: the path, to which the caller's way to the lake belongs.
    pub(super) async fn link(&self, sha256: &str) -> Result<String, LambdaError> {
        let expires_s = (self.inner.lake.store.env().now_ms() + VALID_MS) / 1000;
        let signature = mac(self.link_key().await?, sha256, expires_s).finalize().into_bytes();
        Ok(format!("{LINK_PREFIX}{sha256}.zip?Expires={expires_s}&Signature={}", hex::encode(signature)))
    }

    /// What signs links: the same for as long as the lake is there.
    async fn link_key(&self) -> Result<&[u8], LambdaError> {
        let store = &self.inner.lake.store;
        let key = self.inner.link_key.get_or_try_init(|| store.write(|tx| sql::secret(tx, "links"))).await?;
        Ok(key)
    }

    /// The package that a link leads to; `path` is all after the host, with the query.
    ///
    /// # Errors
    /// The link is not one of this lake's, it ended, or the package is gone.
    pub async fn follow(&self, path: &str) -> Result<Bytes, LambdaError> {
        let refused = || LambdaError::Denied("The link is not one that this lake gave out; ask GetFunction for another.".into());
        let rest = path.strip_prefix(LINK_PREFIX).ok_or_else(refused)?;
        let (file, query) = rest.split_once('?').ok_or_else(refused)?;
        let sha256 = file.strip_suffix(".zip").ok_or_else(refused)?.to_owned();
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let expires_s: i64 = parameter("Expires").and_then(|text| text.parse().ok()).ok_or_else(refused)?;
        let given = parameter("Signature").and_then(|text| hex::decode(text).ok()).ok_or_else(refused)?;
        mac(self.link_key().await?, &sha256, expires_s).verify_slice(&given).map_err(|_| refused())?;
        if self.inner.lake.store.env().now_ms() / 1000 > expires_s {
            return Err(LambdaError::Denied("The link has expired; ask GetFunction for another.".into()));
        }
        let row = self.inner.lake.store.read(move |connection| sql::code(connection, &sha256)).await?;
        let row = row.ok_or_else(|| LambdaError::NotFound("The package is not there any more.".into()))?;
        let mut chunks = self.inner.lake.store.blobs().stream(&row.blob, 0..row.size).await?;
        let mut whole = Vec::with_capacity(row.size as usize);
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.into())
    }
}

fn mac(key: &[u8], sha256: &str, expires_s: i64) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{sha256}\n{expires_s}").as_bytes());
    mac
}

/// A position in a listing, as clients get it.
pub(super) fn marker(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(position)
}

/// The position that a client gave back.
pub(super) fn position(marker: Option<&str>) -> Result<String, LambdaError> {
    let Some(marker) = marker.filter(|marker| !marker.is_empty()) else { return Ok(String::new()) };
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| LambdaError::invalid("The Marker is not one that this operation answered; leave it out to begin anew."))
}

//! Signatures of messages: the key, its certificate, and what is signed.
//!
//! A lake has one RSA key, made when it is first needed (off the async threads: that takes a second) and kept in the store. Its certificate is
//! served by the lake itself, without a signature, under the name that every message carries as `SigningCertURL`. What is signed is the text of
//! the page "Verifying the signatures of Amazon SNS messages"; with SHA-1 (`SignatureVersion` 1) or SHA-256 (2).

use super::sql::{self, KeyRow};
use super::{Sns, SnsError};
use base64::Engine as _;
use chrono::Datelike;
use millpond_core::env::{EnvExt, SharedEnv};
use rcgen::{CertificateParams, DnType, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SerialNumber, date_time_ymd};
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, der::zeroize::Zeroizing};
use rsa::rand_core::{CryptoRng, RngCore};
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

const KEY_BITS: usize = 2048;

/// A certificate outlives every lake: nothing renews it.
const VALID_YEARS: i32 = 30;

/// Signatures that are remembered, since all subscribers of a topic get the same one, and every try of a message does.
const REMEMBERED_MAX: usize = 1024;

/// How a topic's messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Version {
    /// RSA with SHA-1.
    One,
    /// RSA with SHA-256.
    Two,
}

impl Version {
    /// From a topic's attribute; 1 where it says nothing.
    pub(super) fn of(attribute: Option<&String>) -> Self {
        if attribute.is_some_and(|value| value == "2") { Self::Two } else { Self::One }
    }

    /// As messages carry it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

/// What a signed message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) version: Version,
    /// Base64.
    pub(super) text: String,
    /// Where the certificate is.
    pub(super) certificate_url: String,
}

/// The text that is signed: each member's name and value in a line of its own, by name.
pub(super) fn canonical(members: &[(&str, &str)]) -> String {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect()
}

/// Signs; made once for all clones of the service.
#[derive(Default)]
pub(super) struct Signer {
    keys: OnceCell<Arc<Keys>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("certificate", &self.keys.get().map(|keys| &keys.name)).finish()
    }
}

struct Keys {
    name: String,
    certificate: String,
    private: RsaPrivateKey,
    remembered: Mutex<HashMap<(Version, [u8; 32]), String>>,
    env: SharedEnv,
}

impl Keys {
    fn open(row: KeyRow, env: SharedEnv) -> Result<Self, SnsError> {
        let private = RsaPrivateKey::from_pkcs8_der(&row.private_key)
            .map_err(|error| SnsError::Signing(format!("the key in the store is not readable: {error}")))?;
        Ok(Self { name: row.name, certificate: row.certificate, private, remembered: Mutex::default(), env })
    }

    fn sign(&self, version: Version, text: &str) -> Result<String, SnsError> {
        let key = (version, <[u8; 32]>::from(Sha256::digest(text)));
        if let Some(found) = self.remembered.lock().expect("nothing panics while it is held").get(&key) {
            return Ok(found.clone());
        }
        let (private, mut random) = (self.private.clone(), Random(&*self.env));
        let signed = match version {
            Version::One => SigningKey::<Sha1>::new(private).try_sign_with_rng(&mut random, text.as_bytes()),
            Version::Two => SigningKey::<Sha256>::new(private).try_sign_with_rng(&mut random, text.as_bytes()),
        };
        let signed = signed.map_err(|error| SnsError::Signing(error.to_string()))?;
        let signed = base64::engine::general_purpose::STANDARD.encode(signed.to_bytes());
        let mut remembered = self.remembered.lock().expect("nothing panics while it is held");
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, signed.clone());
        Ok(signed)
    }
}

/// The lake's source of randomness, as `rsa` asks for it.
struct Random<'a>(&'a dyn millpond_core::env::Env);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.0.fill_random(bytes);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}

/// Makes a key and a certificate that it signs itself. Takes about a second.
fn make(env: &SharedEnv) -> Result<KeyRow, SnsError> {
    let failed = |error: &dyn std::fmt::Display| SnsError::Signing(format!("no key could be made: {error}"));
    let private = RsaPrivateKey::new(&mut Random(&**env), KEY_BITS).map_err(|error| failed(&error))?;
    let der: Zeroizing<Vec<u8>> = private.to_pkcs8_der().map_err(|error| failed(&error))?.to_bytes();
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &PKCS_RSA_SHA256).map_err(|error| failed(&error))?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Millpond Simple Notification Service");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut serial = [0; 16];
    env.fill_random(&mut serial);
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    let today = chrono::DateTime::from_timestamp_millis(env.now_ms()).unwrap_or_default();
    // The first of the month, so that a reader whose clock is a day behind takes it, and no 29th of February is met.
    parameters.not_before = date_time_ymd(today.year(), today.month() as u8, 1);
    parameters.not_after = date_time_ymd(today.year() + VALID_YEARS, today.month() as u8, 1);
    let certificate = parameters.self_signed(&pair).map_err(|error| failed(&error))?.pem();
    let name = format!("SimpleNotificationService-{}.pem", env.random_hex(16));
    Ok(KeyRow { name, certificate, private_key: der.to_vec() })
}

impl Sns {
    async fn keys(&self) -> Result<&Arc<Keys>, SnsError> {
        let load = async || {
            let env = self.lake.store.env().clone();
            let row = match self.lake.store.read(sql::key).await? {
                Some(row) => row,
                None => {
                    let source = env.clone();
                    let made = tokio::task::spawn_blocking(move || make(&source)).await;
                    let made = made.map_err(|_| SnsError::Signing("an internal fault ended the making of a key".into()))??;
                    self.lake.store.write(move |tx| sql::keep_key(tx, &made)).await?
                }
            };
            Keys::open(row, env).map(Arc::new)
        };
        self.signer.keys.get_or_try_init(load).await
    }

    /// Signs texts as [`canonical`] makes them, off the async threads.
    pub(super) async fn sign(&self, version: Version, texts: Vec<String>) -> Result<Vec<Signature>, SnsError> {
        let keys = self.keys().await?.clone();
        let certificate_url = format!("{}/{}", self.endpoint, keys.name);
        let sign = move || texts.iter().map(|text| keys.sign(version, text)).collect::<Result<Vec<_>, _>>();
        let signed = tokio::task::spawn_blocking(sign).await;
        let signed = signed.map_err(|_| SnsError::Signing("an internal fault ended it".into()))??;
        let whole = |text| Signature { version, text, certificate_url: certificate_url.clone() };
        Ok(signed.into_iter().map(whole).collect())
    }

    /// The certificate (PEM) that is served as `/NAME`; `None` where it has another name. Needs no signature: it is public.
    pub async fn certificate(&self, name: &str) -> Result<Option<String>, SnsError> {
        let keys = self.keys().await?;
        Ok((keys.name == name).then(|| keys.certificate.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_in_the_order_of_the_names() {
        let members = [("Type", "Notification"), ("Message", "m"), ("MessageId", "i"), ("TopicArn", "a"), ("Timestamp", "t")];
        let expected = "Message\nm\nMessageId\ni\nTimestamp\nt\nTopicArn\na\nType\nNotification\n";
        assert_eq!(canonical(&members), expected);
    }
}

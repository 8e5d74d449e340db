//! The root key of a lake: made at its first start, kept in its directory, readable by its owner alone.

use anyhow::{Context, Result, bail};
use millpond_core::env::Env;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

const FILE: &str = "credentials";

/// AWS's alphabet of access key ids (base 32), after the four letters that say what kind of key it is.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const SECRET_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// `AKIA…`, 20 characters.
    pub access_key_id: String,
    /// 40 characters. Never in a log.
    pub secret_access_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// New ones.
    fn generate(env: &dyn Env) -> Self {
        let mut bytes = [0u8; 56];
        env.fill_random(&mut bytes);
        let pick = |bytes: &[u8], alphabet: &[u8]| -> String {
            // The alphabets' sizes divide 256: every character is as likely as any other.
            bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
        };
        Self {
            access_key_id: format!("AKIA{}", pick(&bytes[..16], ID_ALPHABET)),
            secret_access_key: pick(&bytes[16..], SECRET_ALPHABET),
        }
    }

    /// Those of the lake in `directory`.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = path(directory);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let credentials: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; remove it, and the next start makes new credentials", path.display()))?;
        if credentials.access_key_id.len() < 16 || credentials.secret_access_key.len() < 16 {
            bail!("{}: the key or its secret is shorter than 16 characters; remove the file to get new ones", path.display());
        }
        Ok(credentials)
    }

    /// Those of the lake in `directory`; makes them where there are none.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn read_or_create(directory: &Path, env: &dyn Env) -> Result<Self> {
        let path = path(directory);
        if path.exists() {
            return Self::read(directory);
        }
        let credentials = Self::generate(env);
        let text = serde_json::to_string_pretty(&credentials).expect("two texts are JSON") + "\n";
        write_private(&path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(credentials)
    }

    /// What is wrong with the file's permissions, for the doctor.
    pub fn exposure(directory: &Path) -> Option<String> {
        use std::os::unix::fs::PermissionsExt;
        let path = path(directory);
        let mode = std::fs::metadata(&path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then(|| format!("{0} can be read by others (mode {mode:o}): run `chmod 600 {0}`", path.display()))
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Writes a file that only its owner can read, all of it or nothing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = directory.join(name);
    let _ = std::fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;

    #[test]
    fn credentials_are_made_once_and_only_their_owner_can_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let made = Credentials::read_or_create(directory.path(), &SystemEnv).unwrap();
        assert_eq!((made.access_key_id.len(), made.secret_access_key.len()), (20, 40));
        assert!(made.access_key_id.starts_with("AKIA"));
        assert_eq!(Credentials::read_or_create(directory.path(), &SystemEnv).unwrap(), made);
        assert_eq!(Credentials::exposure(directory.path()), None);
        assert!(!format!("{made:?}").contains(&made.secret_access_key));

        std::fs::write(directory.path().join(FILE), "{").unwrap();
        let error = format!("{:#}", Credentials::read_or_create(directory.path(), &SystemEnv).unwrap_err());
        assert!(error.contains("damaged") && error.contains("remove it"), "{error}");
    }
}

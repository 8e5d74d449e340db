//! Temporary credentials without a row: the token carries what it claims, sealed by a key of the lake.
//!
//! Token: base64url of one byte for the form, the seal (HMAC-SHA256 over the access key's id and the claims), and the claims as
//! JSON. The secret of the access key is an HMAC over the id and the token: whoever has the lake's key can compute it, nobody
//! else. So a session lives in every process that opens the lake, survives restarts, and ends when its time is over, when its
//! role is deleted, or when the lake's root key is changed. Those of a run of a job, and those that it assumed, end with the
//! run's process too ([`Identity::admit_run`]), and therefore with this one.

use super::rows::Role;
use super::{Caller, RoleError, root_arn};
use crate::lake::Lake;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, RwLock};

/// The form of the token that this version writes.
const FORM: u8 = 1;

/// Characters of a token at the most; AWS's are below 4,096 without session policies.
const TOKEN_MAX: usize = 16 * 1024;

/// AWS's alphabet of access key ids (base 32).
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Issues and verifies sessions; clones share it.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    lake: Lake,
    key: [u8; 32],
    /// The ids of the roles that exist.
    roles: RwLock<HashSet<String>>,
    /// The ids of the runs of jobs whose sessions are good. None at the start: no process of a run outlives the server.
    runs: RwLock<HashSet<String>>,
}

/// Sessions of a run of a job are good while it is held.
#[derive(Debug)]
pub struct AdmittedRun {
    identity: Identity,
    run: String,
}

impl Drop for AdmittedRun {
    fn drop(&mut self) {
        self.identity.inner.runs.write().expect("nothing panics while it holds the runs").remove(&self.run);
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("place", &self.inner.lake.place).finish_non_exhaustive()
    }
}

/// A session that signed a request, with the lake that verified it: what asks for its rights needs nothing else.
#[derive(Debug, Clone)]
pub struct Acting {
    /// Who verified it.
    pub identity: Identity,
    /// What its token claims.
    pub session: Arc<Session>,
}

impl PartialEq for Acting {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session
    }
}

impl Eq for Acting {}

/// What a session acts as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRole {
    /// `AROA…`
    #[serde(rename = "r")]
    pub id: String,
    /// With its path.
    #[serde(rename = "a")]
    pub arn: String,
}

impl SessionRole {
    /// Without its path.
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}

/// What a token claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// None where the session is the root's own.
    #[serde(flatten)]
    pub role: Option<SessionRole>,
    /// `RoleSessionName`; of a function's process the function's name.
    #[serde(rename = "n")]
    pub name: String,
    /// Milliseconds since the epoch.
    #[serde(rename = "i")]
    pub issued_ms: i64,
    /// Milliseconds since the epoch.
    #[serde(rename = "e")]
    pub expires_ms: i64,
    /// A policy that narrows what the role may do.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// ARNs of managed policies that narrow it.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// The session's tags (`aws:PrincipalTag/…`).
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The keys of the tags that a session which this one assumes has too.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub transitive_tags: Vec<String>,
    /// `aws:SourceIdentity`
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The run of a job that it was made for: what it writes can wait for the run's end, and it ends with the run's process.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub job_run: Option<String>,
}

impl Session {
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`
    pub fn arn(&self, place: &Place) -> String {
        match &self.role {
            Some(role) => format!("arn:aws:sts::{}:assumed-role/{}/{}", place.account, role.name(), self.name),
            None => root_arn(place),
        }
    }

    /// `AROA…:SESSION`
    pub fn user_id(&self, place: &Place) -> String {
        match &self.role {
            Some(role) => format!("{}:{}", role.id, self.name),
            None => place.account.clone(),
        }
    }
}

/// A session to issue. By default it is the root's own.
#[derive(Debug, Clone, Default)]
pub struct NewSession {
    /// What it acts as.
    pub role: Option<SessionRole>,
    /// 2 to 64 characters of `[\w+=,.@-]`.
    pub name: String,
    /// How long it lives.
    pub seconds: i64,
    /// See [`Session::policy`].
    pub policy: Option<String>,
    /// See [`Session::policy_arns`].
    pub policy_arns: Vec<String>,
    /// See [`Session::tags`].
    pub tags: BTreeMap<String, String>,
    /// See [`Session::transitive_tags`].
    pub transitive_tags: Vec<String>,
    /// See [`Session::source_identity`].
    pub source_identity: Option<String>,
    /// See [`Session::job_run`].
    pub job_run: Option<String>,
}

/// The credentials of a session.
#[derive(Clone)]
pub struct SessionKeys {
    /// `ASIA…`, 20 characters.
    pub access_key: String,
    /// 40 characters. Never in a log.
    pub secret_key: String,
    /// Goes with each request. Never in a log.
    pub session_token: String,
    /// What the token claims.
    pub session: Session,
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKeys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A token that is good, and the secret that its requests are signed with.
pub struct Verified {
    /// What it claims.
    pub session: Arc<Session>,
    /// Never in a log.
    pub secret_key: String,
}

/// Why a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The access key and the token do not belong together, or no lake (or another one) issued them.
    #[error("The security token included in the request is invalid.")]
    Invalid,
    /// Its time is over, or the run of a job is that it was made for.
    #[error("The security token included in the request is expired")]
    Expired,
    /// Its role was deleted.
    #[error("The security token included in the request is invalid: its role does not exist any more.")]
    RoleGone,
}

impl Identity {
    /// Over a lake; `secret` is its root key's: sessions end when that changes.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(lake: &Lake, secret: &str) -> Result<Self, StoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare("SELECT id FROM iam_role")?;
            let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<HashSet<String>, _>>()?;
            Ok::<_, StoreError>(ids)
        };
        let roles = RwLock::new(lake.store.read(read).await?);
        let key = seal(secret.as_bytes(), &[b"millpond sessions, form 1"]);
        Ok(Self { inner: Arc::new(Inner { lake: lake.clone(), key, roles, runs: RwLock::default() }) })
    }

    /// The lake whose sessions these are.
    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    /// The account and region.
    pub fn place(&self) -> &Arc<Place> {
        &self.inner.lake.place
    }

    /// Whether `caller` may give `role` (an ARN, or a name as Glue takes one) to `service` (`glue.amazonaws.com`), as the
    /// policies are now. `source_ip` is where the request came from; empty where that is not known.
    ///
    /// # Errors
    /// [`RoleError::Denied`] where it may not.
    pub async fn may_pass(&self, caller: Caller, role: String, service: String, source_ip: String) -> Result<(), RoleError> {
        let (place, now_ms) = (self.place().clone(), self.inner.lake.store.env().now_ms());
        let look = move |connection: &Connection| {
            let more: &[(&str, &str)] = if source_ip.is_empty() { &[] } else { &[("aws:SourceIp", &source_ip)] };
            super::may_pass(connection, &place, &caller, &role, &service, now_ms, more)
        };
        self.inner.lake.store.read(look).await
    }

    /// A session of a role: for the process of a function, a run of a job.
    pub fn issue(&self, role: &Role, session_name: &str, seconds: i64) -> SessionKeys {
        let role = SessionRole { id: role.id.clone(), arn: role.arn(self.place()) };
        self.issue_new(NewSession { role: Some(role), name: session_name.into(), seconds, ..NewSession::default() })
    }

    /// Lets the sessions that claim `run` (see [`Session::job_run`]) pass until what it answers is dropped. One at a time for each run.
    pub fn admit_run(&self, run: &str) -> AdmittedRun {
        self.inner.runs.write().expect("nothing panics while it holds the runs").insert(run.to_owned());
        AdmittedRun { identity: self.clone(), run: run.to_owned() }
    }

    /// A session with all that it can have.
    pub fn issue_new(&self, new: NewSession) -> SessionKeys {
        let env = self.inner.lake.store.env();
        let now_ms = env.now_ms();
        let session = Session {
            role: new.role,
            name: new.name,
            issued_ms: now_ms,
            expires_ms: now_ms.saturating_add(new.seconds.saturating_mul(1000)),
            policy: new.policy,
            policy_arns: new.policy_arns,
            tags: new.tags,
            transitive_tags: new.transitive_tags,
            source_identity: new.source_identity,
            job_run: new.job_run,
        };
        let mut random = [0u8; 10];
        env.fill_random(&mut random);
        let access_key = access_key(&self.place().account, random);
        let claims = serde_json::to_vec(&session).expect("texts and numbers are JSON");
        let mut token = vec![FORM];
        token.extend(seal(&self.inner.key, &[b"token", access_key.as_bytes(), &claims]));
        token.extend(&claims);
        let session_token = URL_SAFE_NO_PAD.encode(token);
        let secret_key = self.secret(&access_key, &session_token);
        SessionKeys { access_key, secret_key, session_token, session }
    }

    /// Opens a token that came with `access_key`. Takes no lock that a writer holds for long, and reads nothing from the disk.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn verify(&self, access_key: &str, token: &str, now_ms: i64) -> Result<Verified, SessionError> {
        use subtle::ConstantTimeEq;
        if token.len() > TOKEN_MAX || access_key.len() > 128 {
            return Err(SessionError::Invalid);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| SessionError::Invalid)?;
        let (found, claims) = match bytes.split_first() {
            Some((&FORM, rest)) if rest.len() > 32 => rest.split_at(32),
            _ => return Err(SessionError::Invalid),
        };
        let expected = seal(&self.inner.key, &[b"token", access_key.as_bytes(), claims]);
        if !bool::from(expected.ct_eq(found)) {
            return Err(SessionError::Invalid);
        }
        let session: Session = serde_json::from_slice(claims).map_err(|_| SessionError::Invalid)?;
        if now_ms >= session.expires_ms {
            return Err(SessionError::Expired);
        }
        if let Some(run) = &session.job_run
            && !self.inner.runs.read().expect("nothing panics while it holds the runs").contains(run)
        {
            return Err(SessionError::Expired);
        }
        if let Some(role) = &session.role
            && !self.inner.roles.read().expect("nothing panics while it holds the roles").contains(&role.id)
        {
            return Err(SessionError::RoleGone);
        }
        Ok(Verified { session: Arc::new(session), secret_key: self.secret(access_key, token) })
    }

    /// 30 bytes are 40 characters of base 64, as AWS's secrets are.
    fn secret(&self, access_key: &str, token: &str) -> String {
        STANDARD.encode(&seal(&self.inner.key, &[b"secret", access_key.as_bytes(), token.as_bytes()])[..30])
    }

    /// A role is made in this transaction: its sessions are good from the commit on.
    pub(crate) fn role_comes(&self, tx: &Tx<'_>, id: &str) {
        let (inner, id) = (self.inner.clone(), id.to_owned());
        tx.after_commit(move || {
            inner.roles.write().expect("nothing panics while it holds the roles").insert(id);
        });
    }

    /// A role is deleted in this transaction: its sessions are refused from the commit on.
    pub(crate) fn role_goes(&self, tx: &Tx<'_>, id: &str) {
        let (inner, id) = (self.inner.clone(), id.to_owned());
        tx.after_commit(move || {
            inner.roles.write().expect("nothing panics while it holds the roles").remove(&id);
        });
    }
}

/// HMAC-SHA256 over parts, each with its length, so that no two lists of parts are the same text.
fn seal(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// An access key's id that says its account, where AWS's do: in bits 1 to 40 of what follows the prefix.
fn access_key(account: &str, random: [u8; 10]) -> String {
    let account: u64 = account.parse().unwrap_or_default();
    let low = u64::from(random[5] & 0x7F);
    let head = (1u64 << 47) | ((account & 0xFF_FFFF_FFFF) << 7) | low;
    let mut bytes = random;
    bytes[..6].copy_from_slice(&head.to_be_bytes()[2..]);
    let mut id = String::from("ASIA");
    let number = bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    for at in (0..16).rev() {
        id.push(char::from(ID_ALPHABET[(number >> (5 * at)) as usize & 31]));
    }
    id
}

/// The account that an access key's id says, where it has AWS's form.
pub fn account_of(access_key: &str) -> Option<String> {
    let rest = access_key.strip_prefix("ASIA").or_else(|| access_key.strip_prefix("AKIA"))?;
    let mut number = 0u128;
    for byte in rest.bytes().take(16) {
        let digit = ID_ALPHABET.iter().position(|letter| *letter == byte)?;
        number = number << 5 | digit as u128;
    }
    (rest.len() == 16).then(|| format!("{:012}", (number >> 32 >> 7) & 0xFF_FFFF_FFFF))
}

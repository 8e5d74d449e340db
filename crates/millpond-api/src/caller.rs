//! Who asks: the caller of a request, and the keys that tell.

use millpond_services::lake::identity::Acting;
pub use millpond_wire::sigv4::KeyError;

/// The principal that a request is verified to be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `arn:aws:iam::ACCOUNT:root`, or of a session: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// Twelve digits.
    pub account: String,
    /// The access key that signed; empty where none did.
    pub access_key: String,
    /// What it is.
    pub kind: CallerKind,
    /// The session that signed, where one did: what its rights are asked of.
    pub acting: Option<Acting>,
}

/// The kinds of principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerKind {
    /// The account's owner.
    Root,
    /// A session of a role.
    Role {
        /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`
        role_arn: String,
        /// The session's name.
        session_name: String,
        /// `AROA…:SESSION`
        user_id: String,
    },
    /// Whoever opened a link that carries a secret token of its own, without credentials.
    Anonymous,
}

impl Caller {
    /// The account's owner.
    #[must_use]
    pub fn root(account: &str, access_key: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:root");
        Self { arn, account: account.into(), access_key: access_key.into(), kind: CallerKind::Root, acting: None }
    }

    /// Nobody whom the lake knows, in an account.
    #[must_use]
    pub fn anonymous(account: &str) -> Self {
        Self {
            arn: "anonymous".into(),
            account: account.into(),
            access_key: String::new(),
            kind: CallerKind::Anonymous,
            acting: None,
        }
    }

    /// Whether it is the account's owner.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.kind == CallerKind::Root
    }

    /// Whether nobody signed.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.kind == CallerKind::Anonymous
    }

    /// The unique id that policies and events call it by: the account of its root, `AROA…:SESSION` of a session (IAM user guide, "IAM
    /// identifiers").
    #[must_use]
    pub fn user_id(&self) -> &str {
        match &self.kind {
            CallerKind::Root => &self.account,
            CallerKind::Role { user_id, .. } => user_id,
            CallerKind::Anonymous => "anonymous",
        }
    }

    /// The role whose session it is.
    #[must_use]
    pub fn role_arn(&self) -> Option<&str> {
        match &self.kind {
            CallerKind::Role { role_arn, .. } => Some(role_arn),
            CallerKind::Root | CallerKind::Anonymous => None,
        }
    }
}

/// What an access key opens.
#[derive(Clone)]
pub struct KeyOf {
    /// What requests are signed with; never shown.
    pub secret: String,
    /// Whose it is.
    pub caller: Caller,
}

impl std::fmt::Debug for KeyOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyOf").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// The access keys that may call this lake. Asked once a request, before its body is read: must be quick, and not block.
pub trait Keys: Send + Sync {
    /// The secret and the owner of a key; `session_token` is what came with it, unverified.
    ///
    /// # Errors
    /// There is no such key, the token is not the key's, or the session has ended.
    fn secret(&self, access_key: &str, session_token: Option<&str>, now_ms: i64) -> Result<KeyOf, KeyError>;
}

/// The one key of the account's owner.
#[derive(Clone)]
pub struct RootKey {
    access_key: String,
    secret: String,
    account: String,
}

impl RootKey {
    /// A key and its secret.
    #[must_use]
    pub fn new(account: &str, access_key: &str, secret: &str) -> Self {
        Self { access_key: access_key.into(), secret: secret.into(), account: account.into() }
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Keys for RootKey {
    fn secret(&self, access_key: &str, session_token: Option<&str>, _: i64) -> Result<KeyOf, KeyError> {
        match (access_key == self.access_key, session_token) {
            (true, None) => Ok(KeyOf { secret: self.secret.clone(), caller: Caller::root(&self.account, access_key) }),
            (true, Some(_)) => Err(KeyError::InvalidToken),
            (false, _) => Err(KeyError::Unknown),
        }
    }
}

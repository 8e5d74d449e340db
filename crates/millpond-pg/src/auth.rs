//! Who a client is: SCRAM-SHA-256 for the root's key, whose secret is never sent; a session's token in clear.
//!
//! SCRAM wants a server that can compute what it compares from the user's name alone. The root's secret it knows; a session's token is known to
//! its client alone (the lake keeps none, and verifies it by its seal): it must be sent, and is taken only over TLS or on the loopback.
//!
//! PostgreSQL documentation, "SASL Authentication"; RFC 5802, RFC 7677.

use crate::connection::Connection;
use crate::errors;
use crate::frontend::{Message, sasl_initial};
use crate::keys::{Credential, Keys, Refusal};
use pgwire::api::auth::Password;
use pgwire::api::auth::sasl::SCRAM_SHA_256_METHOD;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramServerAuth, gen_salted_password};
use pgwire::error::PgWireError;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::Authentication;
use std::io;

/// What SCRAM compares the root's proofs with.
pub(crate) struct Verifier {
    salt: [u8; 16],
    salted_password: Vec<u8>,
}

impl Verifier {
    /// Of the root's secret, with a salt of its own.
    pub(crate) fn new(keys: &Keys) -> Self {
        let mut salt = [0; 16];
        keys.identity.lake().store.env().fill_random(&mut salt);
        let salted_password = gen_salted_password(&keys.root_secret, &salt, SCRAM_ITERATIONS);
        Self { salt, salted_password }
    }
}

/// Why nobody is let in.
enum Denied {
    /// The client has gone, or was told already.
    Gone,
    /// It does not keep to the protocol.
    Malformed(&'static str),
    /// It is not who it says.
    Refused(Refusal),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Lets `user` prove who it is; `None` where it did not, which it has been told. `is_private` says that nobody on the way reads along.
pub(crate) async fn authenticate(
    keys: &Keys,
    verifier: &Verifier,
    connection: &mut Connection,
    user: &str,
    is_private: bool,
) -> io::Result<Option<Credential>> {
    let proved = match (user == keys.root_access_key, is_private) {
        (true, _) => scram(verifier, connection).await?,
        (false, true) => clear_text(keys, connection, user).await?,
        (false, false) => {
            let message = "a session's token is only taken over TLS or on the loopback; set certificate and key in [postgres], and sslmode=require";
            connection.send_fatal("28000", message).await?;
            return Ok(None);
        }
    };
    match proved {
        Ok(credential) => return Ok(Some(credential)),
        Err(Denied::Gone) => {}
        Err(Denied::Malformed(why)) => connection.send_fatal("08P01", why).await?,
        Err(Denied::Refused(refusal)) => {
            let user = shown(user);
            tracing::warn!(%user, %refusal, "a PostgreSQL client was refused");
            connection.send_fatal("28P01", format!("{refusal} for user {}", crate::text::quote_name(&user))).await?;
        }
    }
    Ok(None)
}

async fn clear_text(keys: &Keys, connection: &mut Connection, user: &str) -> io::Result<Result<Credential, Denied>> {
    connection.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
    let password = match answer(connection).await? {
        Ok(password) => password,
        Err(denied) => return Ok(Err(denied)),
    };
    let password = password.strip_suffix(b"\0").unwrap_or(&password);
    Ok(keys.open(user, std::str::from_utf8(password).unwrap_or_default()).map_err(Denied::from))
}

async fn scram(verifier: &Verifier, connection: &mut Connection) -> io::Result<Result<Credential, Denied>> {
    const MALFORMED: Denied = Denied::Malformed("malformed SCRAM message");
    let methods = vec![SCRAM_SHA_256_METHOD.to_owned()];
    connection.send(PgWireBackendMessage::Authentication(Authentication::SASL(methods))).await?;
    let first = match answer(connection).await? {
        Ok(first) => first,
        Err(denied) => return Ok(Err(denied)),
    };
    let first = match sasl_initial(&first) {
        Ok((method, first)) if method == SCRAM_SHA_256_METHOD => first,
        Ok(_) => return Ok(Err(Denied::Malformed("the only SASL authentication mechanism is SCRAM-SHA-256"))),
        Err(_) => return Ok(Err(MALFORMED)),
    };
    let expected = Password::new(Some(verifier.salt.to_vec()), verifier.salted_password.clone());
    let Ok((server_first, waiting)) = ScramServerAuth::new().on_client_first_message(&first, expected) else {
        return Ok(Err(MALFORMED));
    };
    connection.send(PgWireBackendMessage::Authentication(Authentication::SASLContinue(server_first.into()))).await?;
    let last = match answer(connection).await? {
        Ok(last) => last,
        Err(denied) => return Ok(Err(denied)),
    };
    match waiting.on_client_final_message(&last) {
        Ok(server_last) => {
            connection.send(PgWireBackendMessage::Authentication(Authentication::SASLFinal(server_last.into()))).await?;
            Ok(Ok(Credential::Root))
        }
        Err(PgWireError::InvalidPassword(_)) => Ok(Err(Refusal::Wrong.into())),
        Err(_) => Ok(Err(MALFORMED)),
    }
}

/// What the client answers to what is in the buffer.
async fn answer(connection: &mut Connection) -> io::Result<Result<Vec<u8>, Denied>> {
    connection.flush().await?;
    Ok(match connection.read().await {
        Ok(Some(Message::Password(bytes))) => Ok(bytes),
        Ok(Some(_)) => Err(Denied::Malformed("expected password response")),
        Ok(None) => Err(Denied::Gone),
        Err(error) => {
            connection.send_error(errors::of_read(&error)).await?;
            connection.flush().await?;
            Err(Denied::Gone)
        }
    })
}

/// What a client calls itself, fit for a line of a log.
fn shown(user: &str) -> String {
    user.chars().filter(|c| !c.is_control()).take(64).collect()
}

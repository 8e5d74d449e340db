//! TLS from a certificate and a key in files.

use crate::connection::Io;
use pgwire::tokio::tokio_rustls::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use pgwire::tokio::tokio_rustls::rustls::crypto::ring;
use pgwire::tokio::tokio_rustls::rustls::pki_types::pem::PemObject;
use pgwire::tokio::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
#[error("{file} is not usable: {why}")]
pub struct TlsError {
    /// Which file.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// Does handshakes.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// With the PEM files of a certificate chain and of its private key.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub(crate) fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong =
            |file: &Path, why: &dyn std::fmt::Display| TlsError { file: file.display().to_string(), why: why.to_string() };
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| wrong(certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong(certificate, &"there is no certificate in it"));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let config = config.map_err(|error| wrong(certificate, &error))?;
        let config = config.with_no_client_auth().with_single_cert(chain, private).map_err(|error| wrong(key, &error))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake with a client that asked for it.
    pub(crate) async fn accept(
        &self,
        plain: Box<dyn Io>,
    ) -> io::Result<pgwire::tokio::tokio_rustls::server::TlsStream<Box<dyn Io>>> {
        self.0.accept(plain).await
    }
}

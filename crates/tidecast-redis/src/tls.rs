//! The TLS configuration, made from the `ssl_…` options.
//!
//! Trusts the system's authorities and those of the options, like redis-py. Files are read once, so a renewed
//! certificate takes effect after a restart.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tidecast::{Error, Result};

/// The `ssl_…` options of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    /// `ssl_cert_reqs` is not `none`. For a client, `optional` equals `required`.
    pub(crate) verify_chain: bool,
    /// Implies `verify_chain`.
    pub(crate) verify_hostname: bool,
    /// Authorities trusted besides the system's.
    pub(crate) authorities_file: Option<PathBuf>,
    pub(crate) authorities_folder: Option<PathBuf>,
    pub(crate) certificate_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) tls13_only: bool,
}

/// Creates the configuration of a TLS client.
///
/// # Errors
///
/// `is_invalid` if a file cannot be read, lacks what it is named for, or no authority is known.
pub(crate) fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions = if options.tls13_only { &[&rustls::version::TLS13][..] } else { rustls::ALL_VERSIONS };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| invalid("ssl_min_version", error))?;
    let verifier: Arc<dyn ServerCertVerifier> = match (options.verify_chain, options.verify_hostname) {
        (false, _) => Arc::new(LaxVerifier { provider, roots: None }),
        (true, false) => Arc::new(LaxVerifier { provider, roots: Some(authorities(options)?) }),
        (true, true) => WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(options)?), provider)
            .build()
            .map_err(|error| invalid("ssl_ca_certs", error))?,
    };
    // rustls calls any custom verifier dangerous. It is the strict one unless the options ask for less.
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match client_certificate(options)? {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| invalid("ssl_certfile", error))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Verifies the chain or nothing, and never the host name.
#[derive(Debug)]
struct LaxVerifier {
    provider: Arc<CryptoProvider>,
    /// `None` accepts any certificate.
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for LaxVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn authorities(options: &TlsOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // A container often has no system authorities, so a failure counts only if the options name none either.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &options.authorities_file {
        add_authorities("ssl_ca_certs", path, &mut roots)?;
    }
    if let Some(folder) = &options.authorities_folder {
        let loaded = rustls_native_certs::load_certs_from_paths(None, Some(folder));
        if loaded.certs.is_empty() {
            return Err(invalid("ssl_ca_path", format!("has no certificate: {}", folder.display())));
        }
        roots.add_parsable_certificates(loaded.certs);
    }
    if roots.is_empty() {
        return Err(invalid("ssl_ca_certs", "no authorities: the system has none, so name a file of them"));
    }
    Ok(roots)
}

fn add_authorities(option: &'static str, path: &Path, roots: &mut RootCertStore) -> Result<()> {
    for certificate in read_certificates(option, path)? {
        roots.add(certificate).map_err(|error| invalid_file(option, path, error))?;
    }
    Ok(())
}

fn client_certificate(options: &TlsOptions) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
    let Some(path) = &options.certificate_file else {
        return match &options.key_file {
            Some(_) => Err(invalid("ssl_keyfile", "a key requires ssl_certfile")),
            None => Ok(None),
        };
    };
    let chain = read_certificates("ssl_certfile", path)?;
    // As in Python, the certificate's file may have the key too.
    let key_path = options.key_file.as_ref().unwrap_or(path);
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| invalid_file("ssl_keyfile", key_path, error))?;
    Ok(Some((chain, key)))
}

fn read_certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| invalid_file(option, path, error))?;
    if certificates.is_empty() {
        return Err(invalid(option, format!("has no certificate: {}", path.display())));
    }
    Ok(certificates)
}

fn invalid(option: &'static str, why: impl Display) -> Error {
    Error::invalid(option, format!("cannot be used: {why}"))
}

fn invalid_file(option: &'static str, path: &Path, why: impl Display) -> Error {
    invalid(option, format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests;

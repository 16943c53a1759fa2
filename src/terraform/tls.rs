//! Mutual TLS with the one peer that may connect.
//!
//! Terraform's certificate is self-signed, a CA, and on the curve P-521, which neither the usual verifier nor the
//! `ring` back end accepts. So the verifier here compares the certificate byte for byte with the one Terraform
//! announced, and the signature of the handshake is checked by the `p521` crate. That check holds no secret.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{DerSignature, VerifyingKey};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm,
    UnixTime, alg_id,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `PLUGIN_CLIENT_CERT` is not a certificate.
    #[error("failed to read the client certificate in PLUGIN_CLIENT_CERT")]
    ClientCertificate(#[source] rustls::pki_types::pem::Error),
    /// No certificate could be made for this process.
    #[error("failed to make a server certificate")]
    ServerCertificate(#[source] rcgen::Error),
    /// The parts do not fit together.
    #[error("failed to configure TLS")]
    Configuration(#[source] Error),
}

/// The server's side of TLS, for one client.
#[derive(Debug)]
pub struct ServerTls {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// The server's fresh certificate, in DER: Terraform trusts this one alone.
    pub certificate: Vec<u8>,
}

/// Makes a key and a certificate for this process and a configuration that admits only the holder of the key of
/// `client_pem`.
///
/// # Errors
/// When `client_pem` is not a certificate, or the system gives no randomness.
pub fn server(client_pem: &str) -> Result<ServerTls, TlsError> {
    let pinned =
        CertificateDer::from_pem_slice(client_pem.as_bytes()).map_err(TlsError::ClientCertificate)?;
    // Terraform checks the name `localhost`; the key is P-256, rcgen's default.
    let own =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(TlsError::ServerCertificate)?;
    let key = PrivateKeyDer::try_from(own.key_pair.serialize_der())
        .map_err(|problem| TlsError::Configuration(Error::General(problem.into())))?;
    let certificate = own.cert.der().clone();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Configuration)?
        .with_client_cert_verifier(Arc::new(OnlyThisClient { pinned }))
        .with_single_cert(vec![certificate.clone()], key)
        .map_err(TlsError::Configuration)?;
    // Newer Terraforms refuse a server that does not say it speaks HTTP/2.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(ServerTls { config: Arc::new(config), certificate: certificate.to_vec() })
}

/// The `ring` back end, named so that another one elsewhere in the program cannot take its place.
fn provider() -> CryptoProvider {
    CryptoProvider {
        signature_verification_algorithms: P521_ONLY,
        ..rustls::crypto::ring::default_provider()
    }
}

/// The one signature Terraform makes.
static P521_ONLY: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&P521],
    mapping: &[(SignatureScheme::ECDSA_NISTP521_SHA512, &[&P521])],
};

/// ECDSA on P-521 with SHA-512.
#[derive(Debug)]
struct P521Sha512;

static P521: P521Sha512 = P521Sha512;

impl SignatureVerificationAlgorithm for P521Sha512 {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = DerSignature::try_from(signature).map_err(|_| InvalidSignature)?;
        let signature = p521::ecdsa::Signature::try_from(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}

/// Admits one certificate, by its bytes.
#[derive(Debug)]
struct OnlyThisClient {
    pinned: CertificateDer<'static>,
}

impl ClientCertVerifier for OnlyThisClient {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.pinned {
            return Ok(ClientCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &P521_ONLY)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &P521_ONLY)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        P521_ONLY.supported_schemes()
    }
}

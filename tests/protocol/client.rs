//! Starts the plugin as Terraform does and speaks to it over its socket.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use p521::ecdsa::signature::Signer as _;
use prost::Message;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureAlgorithm, SignatureScheme};
use sluice::terraform::wire::Empty;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio_rustls::TlsConnector;

use crate::probe;

/// How long anything may take before a test fails.
pub const BOUND: Duration = Duration::from_secs(20);
/// The certificate that stands for Terraform's own: P-521, a CA, self-signed.
pub const CLIENT_PEM: &str = include_str!("client.pem");
const CLIENT_KEY: &str = include_str!("client.key");
/// Another of the same kind.
pub const STRANGER_PEM: &str = include_str!("stranger.pem");
const STRANGER_KEY: &str = include_str!("stranger.key");

/// Waits for something that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("{what}: not within {BOUND:?}"))
}

/// This executable, to be started as a plugin, with nothing said by the environment.
pub fn bare_plugin() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in
        ["TF_PLUGIN_MAGIC_COOKIE", "PLUGIN_CLIENT_CERT", "TF_LOG", "TF_DISABLE_PLUGIN_TLS", probe::DEBUG]
    {
        command.env_remove(name);
    }
    command.env(probe::PLUGIN, "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// This executable as Terraform starts it, for the client with this certificate.
pub fn plugin(client_pem: &str) -> Command {
    let mut command = bare_plugin();
    command
        .env("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_CLIENT_CERT", client_pem);
    command
}

/// A plugin that has announced itself.
pub struct Plugin {
    pub child: Child,
    pub stderr: Lines<BufReader<ChildStderr>>,
    pub stdout: Lines<BufReader<ChildStdout>>,
    pub socket: PathBuf,
    certificate: Vec<u8>,
    /// A plugin that is killed leaves its socket behind.
    _temporary: tempfile::TempDir,
}

impl Plugin {
    /// Starts the command and reads its handshake.
    pub async fn start(mut command: Command) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = command.env("TMPDIR", temporary.path()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = within("handshake", stdout.next_line()).await.unwrap().expect("a handshake line");
        let fields: Vec<&str> = line.split('|').collect();
        assert_eq!((fields[0], fields[1], fields[2], fields[4]), ("1", "6", "unix", "grpc"), "{line}");
        let certificate = base64::engine::general_purpose::STANDARD_NO_PAD.decode(fields[5]).unwrap();
        Self { child, stderr, stdout, socket: fields[3].into(), certificate, _temporary: temporary }
    }

    /// Starts a plugin for the usual client.
    pub async fn usual() -> Self {
        Self::start(plugin(CLIENT_PEM)).await
    }

    /// Connects as the usual client.
    pub async fn connect(&self) -> Client {
        self.connect_as(Identity::client()).await.expect("the right certificate is served")
    }

    /// Connects with this identity and makes one call, so that a refusal after the handshake shows.
    pub async fn connect_as(&self, identity: Identity) -> Result<Client, String> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| error.to_string())?;
        let config = identity.config(&self.certificate);
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = within("TLS", tls).await.map_err(|error| error.to_string())?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("h2 was not agreed on".into());
        }
        let client = Client::new(stream).await?;
        client.call::<Empty, Empty>("/grpc.health.v1.Health/Check", &Empty {}).await?;
        Ok(client)
    }

    /// Waits until stderr holds a line with this text, and returns the line.
    pub async fn stderr_with(&mut self, text: &str) -> String {
        within(text, async {
            loop {
                let line = self.stderr.next_line().await.unwrap().expect("stderr ended before the line came");
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }
}

/// A connection that speaks gRPC.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, String> {
        let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream));
        let (sender, connection) = within("HTTP/2", handshake).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Begins a call and returns with the head of the answer, which for a stream comes before its end.
    pub async fn begin<Q: Message>(
        &self,
        path: &str,
        message: &Q,
    ) -> Result<http::Response<Incoming>, String> {
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut body).unwrap();
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body.freeze()))
            .unwrap();
        within(path, self.sender.clone().send_request(request)).await.map_err(|error| error.to_string())
    }

    /// Makes a call. The error is the gRPC status or what broke.
    pub async fn call<Q: Message, R: Message + Default>(&self, path: &str, message: &Q) -> Result<R, String> {
        let (head, body) = self.begin(path, message).await?.into_parts();
        let collected = within(path, body.collect()).await.map_err(|error| error.to_string())?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let status = head.headers.get("grpc-status").or_else(|| trailers.get("grpc-status"));
        match status.map(http::HeaderValue::as_bytes) {
            Some(b"0") => {
                let bytes = collected.to_bytes();
                R::decode(bytes.slice(5..)).map_err(|error| error.to_string())
            }
            other => Err(format!("status {}", String::from_utf8_lossy(other.unwrap_or(b"missing")))),
        }
    }

    /// Begins a call of the provider service that is answered by events.
    pub async fn events<Q: Message, R: Message + Default>(&self, name: &str, message: &Q) -> Events<R> {
        let (head, body) =
            self.begin(&format!("/tfplugin6.Provider/{name}"), message).await.unwrap().into_parts();
        let status = head.headers.get("grpc-status").cloned();
        Events { body, received: BytesMut::new(), status, event: PhantomData }
    }

    /// Makes a call of the provider service.
    pub async fn provider<Q: Message, R: Message + Default>(&self, name: &str, message: &Q) -> R {
        self.call(&format!("/tfplugin6.Provider/{name}"), message).await.unwrap()
    }
}

/// The answer to a call that is answered by events.
pub struct Events<R> {
    body: Incoming,
    received: BytesMut,
    status: Option<http::HeaderValue>,
    event: PhantomData<R>,
}

impl<R: Message + Default> Events<R> {
    /// The next event, as soon as it is there; nothing after the last.
    pub async fn next(&mut self) -> Option<R> {
        loop {
            if let Some(length) = self.received.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.received.len() >= 5 + length {
                    let message = self.received.split_to(5 + length);
                    return Some(R::decode(&message[5..]).unwrap());
                }
            }
            let Some(frame) = within("the next event", self.body.frame()).await else {
                assert_eq!(self.status.as_ref().map(http::HeaderValue::as_bytes), Some(&b"0"[..]));
                assert!(self.received.is_empty(), "an event was cut off");
                return None;
            };
            match frame.unwrap().into_data() {
                Ok(data) => self.received.extend_from_slice(&data),
                Err(trailers) => {
                    let trailers = trailers.into_trailers().unwrap();
                    self.status = trailers.get("grpc-status").cloned().or(self.status.take());
                }
            }
        }
    }

    /// All that are still to come.
    pub async fn rest(mut self) -> Vec<R> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// What a client shows of itself.
#[derive(Debug)]
pub enum Identity {
    Nothing,
    Certified(Arc<CertifiedKey>),
}

impl Identity {
    pub fn client() -> Self {
        Self::p521(CLIENT_PEM, CLIENT_KEY)
    }

    pub fn stranger() -> Self {
        Self::p521(STRANGER_PEM, STRANGER_KEY)
    }

    /// The usual client's certificate, which anyone can know, without its key.
    pub fn forger() -> Self {
        Self::p521(CLIENT_PEM, STRANGER_KEY)
    }

    /// A fresh P-256 certificate, also as PEM.
    pub fn p256() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = ring::sign::any_ecdsa_type(&made.key_pair.serialize_der().try_into().unwrap()).unwrap();
        let certified = CertifiedKey::new(vec![made.cert.der().clone()], key);
        (Self::Certified(Arc::new(certified)), made.cert.pem())
    }

    fn p521(pem: &str, scalar: &str) -> Self {
        let scalar = scalar.trim();
        let bytes: Vec<u8> = (0..scalar.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&scalar[at..at + 2], 16).unwrap())
            .collect();
        let key = Arc::new(P521Key(p521::ecdsa::SigningKey::from_slice(&bytes).unwrap()));
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        Self::Certified(Arc::new(CertifiedKey::new(vec![certificate], key)))
    }

    fn config(self, server: &[u8]) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OnlyThisServer(server.to_vec())))
            .with_client_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Nothing => None,
            Self::Certified(key) => Some(key.clone()),
        }
    }

    fn has_certs(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

#[derive(Clone)]
struct P521Key(p521::ecdsa::SigningKey);

impl std::fmt::Debug for P521Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("P521Key")
    }
}

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: p521::ecdsa::Signature = self.0.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// Trusts the certificate of the handshake line alone, as Terraform does.
#[derive(Debug)]
struct OnlyThisServer(Vec<u8>);

impl ServerCertVerifier for OnlyThisServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(end_entity.as_ref(), self.0);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

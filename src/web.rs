//! The one file that begins HTTP clients, so that there is one TLS: rustls on ring. A client without a named back end
//! would panic.

use reqwest::ClientBuilder;
use rustls::crypto::{CryptoProvider, ring};

/// Names the TLS back end for every client of this process, also those that other crates make.
pub fn use_ring() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been quicker, with the same.
        let _installed = ring::default_provider().install_default();
    }
}

/// A client for addresses anywhere: certificates as the system trusts them, proxies as the environment names them.
pub fn client() -> ClientBuilder {
    use_ring();
    reqwest::Client::builder()
}

/// A client for this machine and its sockets: no proxy, and no time spent on reading the system's certificates.
pub fn local_client() -> ClientBuilder {
    use_ring();
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}

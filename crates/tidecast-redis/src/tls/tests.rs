//! Handshakes with a real server, for each combination of options.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tidecast_test::{free_port, redis::RedisServer};

use crate::{RedisConfig, commands::Commands, error::CallError};

/// A server with certificates of its own authority.
struct TlsServer {
    server: RedisServer,
    tls_port: u16,
}

impl TlsServer {
    /// Starts a server whose certificate is for `localhost` only.
    fn start(ask_clients: &str) -> Self {
        let tls_port = free_port();
        let port = tls_port.to_string();
        let options = [
            ["--save", ""],
            ["--tls-port", &port],
            ["--tls-cert-file", "server.pem"],
            ["--tls-key-file", "server.key"],
            ["--tls-ca-cert-file", "authority.pem"],
            ["--tls-auth-clients", ask_clients],
        ];
        let mut server = RedisServer::new("redis-server", free_port(), &options.concat());
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new(vec![]).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With the default name of the others, OpenSSL would take them for their own issuers.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = authority.self_signed(&authority_key).expect("a certificate");
        let write = |name: &str, text: String| fs::write(server.folder().join(name), text).expect("a file");
        write("authority.pem", certificate.pem());
        let issuer = Issuer::new(authority, authority_key);
        for (name, purpose) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            params.extended_key_usages = vec![purpose];
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        server.run();
        Self { server, tls_port }
    }

    fn file(&self, name: &str) -> String {
        self.server.folder().join(name).display().to_string()
    }

    /// Connects with these options and pings.
    async fn ping(&self, host: &str, options: &str) -> Result<(), CallError> {
        let url = format!("rediss://{host}:{}?{options}", self.tls_port);
        let config = RedisConfig::from_url(&url).expect("a good URL");
        Commands::new(&config).expect("good certificates").ping().await
    }
}

#[tokio::test]
async fn a_certificate_is_verified_as_the_options_require() {
    let server = TlsServer::start("no");
    let authority = format!("ssl_ca_certs={}", server.file("authority.pem"));
    for (host, options, trusts) in [
        ("localhost", authority.clone(), true),
        ("localhost", format!("{authority}&ssl_cert_reqs=optional"), true),
        ("localhost", format!("{authority}&ssl_min_version=772"), true),
        ("localhost", String::new(), false),
        ("localhost", "ssl_check_hostname=false".to_owned(), false),
        ("localhost", "ssl_cert_reqs=none".to_owned(), true),
        ("127.0.0.1", authority.clone(), false),
        ("127.0.0.1", format!("{authority}&ssl_cert_reqs=optional"), false),
        ("127.0.0.1", format!("{authority}&ssl_check_hostname=false"), true),
        ("127.0.0.1", "ssl_cert_reqs=none&ssl_check_hostname=true".to_owned(), true),
    ] {
        let pinged = server.ping(host, &options).await;
        assert_eq!(pinged.is_ok(), trusts, "{host} {options}: {pinged:?}");
        if let Err(error) = pinged {
            assert!(error.reason().contains("certificate"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let server = TlsServer::start("yes");
    let authority = format!("ssl_ca_certs={}", server.file("authority.pem"));
    let certificate =
        format!("{authority}&ssl_certfile={}&ssl_keyfile={}", server.file("client.pem"), server.file("client.key"));
    assert_eq!(server.ping("localhost", &certificate).await, Ok(()));
    let without = server.ping("localhost", &authority).await;
    assert!(matches!(without, Err(CallError::Unavailable { maybe_executed: false, .. })), "{without:?}");
    // Both in one file.
    let both = [server.file("client.pem"), server.file("client.key")].map(|file| fs::read(file).expect("a file"));
    fs::write(server.file("both.pem"), both.concat()).expect("a file");
    let certificate = format!("{authority}&ssl_certfile={}", server.file("both.pem"));
    assert_eq!(server.ping("localhost", &certificate).await, Ok(()));
}

#[test]
fn a_file_that_is_none_is_named() {
    for option in ["ssl_ca_certs", "ssl_ca_path", "ssl_certfile"] {
        let config = RedisConfig::from_url(&format!("rediss://h?{option}=/nowhere/x.pem")).expect("a good URL");
        let error = Commands::new(&config).expect_err(option);
        assert!(error.is_invalid() && error.to_string().starts_with(option), "{error}");
        assert!(error.to_string().contains("/nowhere/x.pem"), "{error}");
    }
    let config = RedisConfig::from_url("rediss://h?ssl_keyfile=/nowhere/x.pem").expect("a good URL");
    assert!(Commands::new(&config).expect_err("no certificate").to_string().contains("ssl_certfile"));
}

//! URLs, compared with what redis-py makes of them.

use super::*;

/// A URL, and the host or path, port, database, user name and password that redis-py 8.1.0's
/// `ConnectionPool.from_url(url)` makes of it, with the defaults of its connection class.
type RedisPyUrl = (&'static str, &'static str, u16, u32, Option<&'static str>, Option<&'static str>);

const AS_REDIS_PY: &[RedisPyUrl] = &[
    ("redis://", "localhost", 6379, 0, None, None),
    ("redis://localhost", "localhost", 6379, 0, None, None),
    ("redis://localhost:6380", "localhost", 6380, 0, None, None),
    ("redis://:6380", "localhost", 6380, 0, None, None),
    ("redis:///3", "localhost", 6379, 3, None, None),
    ("redis://h/", "h", 6379, 0, None, None),
    ("redis://h/0/", "h", 6379, 0, None, None),
    ("redis://h/%32", "h", 6379, 2, None, None),
    ("redis://h/2?db=5", "h", 6379, 5, None, None),
    ("redis://h?db=5", "h", 6379, 5, None, None),
    ("redis://h?db=1&db=2", "h", 6379, 1, None, None),
    ("redis://h?db=&db=2", "h", 6379, 2, None, None),
    ("redis://H.Example:1", "h.example", 1, 0, None, None),
    ("redis://h%2Ename", "h.name", 6379, 0, None, None),
    ("redis://[::1]", "::1", 6379, 0, None, None),
    ("redis://[::1]:6390/1", "::1", 6390, 1, None, None),
    ("redis://user@h", "h", 6379, 0, Some("user"), None),
    ("redis://user:@h", "h", 6379, 0, Some("user"), None),
    ("redis://:pw@h", "h", 6379, 0, None, Some("pw")),
    ("redis://user:pw@h/1", "h", 6379, 1, Some("user"), Some("pw")),
    ("redis://u%40x:p%2F%3A%25@h", "h", 6379, 0, Some("u@x"), Some("p/:%")),
    ("redis://u:p:q@r@h", "h", 6379, 0, Some("u"), Some("p:q@r")),
    ("redis://h?username=u&password=p", "h", 6379, 0, Some("u"), Some("p")),
    ("redis://a:b@h?username=u&password=p", "h", 6379, 0, Some("a"), Some("b")),
    ("redis://a@h?password=p%20q+r%2B", "h", 6379, 0, Some("a"), Some("p q r+")),
    ("redis://h?password=p%2520q", "h", 6379, 0, None, Some("p%20q")),
    ("redis://h?password=p@q", "h", 6379, 0, None, Some("p@q")),
    ("redis://?host=x&port=7000", "x", 7000, 0, None, None),
    ("redis://y:1?host=x&port=7000", "y", 1, 0, None, None),
    ("rediss://h:6390/1", "h", 6390, 1, None, None),
    ("unix:///run/redis.sock", "/run/redis.sock", 0, 0, None, None),
    ("unix:///run/redis.sock?db=3", "/run/redis.sock", 0, 3, None, None),
    ("unix://user:pw@/run/redis.sock?db=1", "/run/redis.sock", 0, 1, Some("user"), Some("pw")),
    ("unix://user@/run/redis.sock?password=pw", "/run/redis.sock", 0, 0, Some("user"), Some("pw")),
    ("unix:///a%20b/r.sock?username=u&password=p", "/a b/r.sock", 0, 0, Some("u"), Some("p")),
    ("unix://?path=/x.sock", "/x.sock", 0, 0, None, None),
    ("unix:///a@b.sock", "/a@b.sock", 0, 0, None, None),
];

#[test]
fn a_url_means_what_it_means_to_redis_py() {
    for (url, host, port, db, username, password) in AS_REDIS_PY {
        let config = read(url);
        let address = match *port {
            0 => Address::Unix(host.into()),
            port => tcp(host, port),
        };
        assert_eq!(config.deployment, Deployment::Standalone(address), "{url}");
        assert_eq!(config.db, *db, "{url}");
        assert_eq!(config.login.username.as_deref(), *username, "{url}");
        assert_eq!(config.login.password.as_deref(), *password, "{url}");
        assert_eq!(config.tls.is_some(), url.starts_with("rediss"), "{url}");
        assert!(config.warnings().is_empty(), "{url}");
    }
}

#[test]
fn times_are_those_of_redis_py() {
    let times = |url| {
        let config = read(url);
        (config.command_timeout, config.connect_timeout, config.probe_interval, config.keepalive)
    };
    let (half, two, five, ten) = (Duration::from_millis(500), seconds(2), seconds(5), seconds(10));
    assert_eq!(times("redis://h"), (five, five, seconds(15), true));
    assert_eq!(times("redis://h?socket_timeout=0.5&socket_connect_timeout=2"), (half, two, seconds(15), true));
    assert_eq!(times("redis://h?socket_timeout=1e1&socket_keepalive=no"), (ten, five, seconds(15), false));
    assert_eq!(times("redis://h?health_check_interval=30&socket_keepalive="), (five, five, seconds(30), true));
    assert_eq!(times("redis://h?health_check_interval=0&socket_keepalive=1"), (five, five, seconds(15), true));
}

#[test]
fn certificates_are_verified_as_redis_py_does() {
    let verified = |url| read(url).tls.map(|tls| (tls.verify_chain, tls.verify_hostname));
    assert_eq!(verified("redis://h"), None);
    assert_eq!(verified("rediss://h"), Some((true, true)));
    assert_eq!(verified("rediss://h?ssl_cert_reqs=optional&ssl_check_hostname=False"), Some((true, false)));
    assert_eq!(verified("rediss://h?ssl_cert_reqs=none"), Some((false, false)));
    assert_eq!(verified("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true"), Some((false, false)));

    let url =
        "rediss://h?ssl_ca_certs=/a%20b.pem&ssl_ca_path=/d&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_min_version=772";
    let tls = read(url).tls.expect("it is TLS");
    assert_eq!(tls.authorities_file, Some("/a b.pem".into()));
    assert_eq!(tls.authorities_folder, Some("/d".into()));
    assert_eq!(tls.certificate_file, Some("/c.pem".into()));
    assert_eq!(tls.key_file, Some("/k.pem".into()));
    assert!(tls.tls13_only);
}

#[test]
fn sentinels_and_clusters_have_many_hosts() {
    let config = read("rediss+sentinel://u:p@a:1,b,[::1]:3/my%20service/2?sentinel_username=su&sentinel_password=sp");
    let login = Login { username: Some("su".to_owned()), password: Some("sp".to_owned()) };
    let sentinels = vec![tcp("a", 1), tcp("b", 26379), tcp("::1", 3)];
    assert_eq!(config.deployment, Deployment::Sentinel { sentinels, service: "my service".to_owned(), login });
    assert_eq!((config.db, config.login.username.as_deref(), config.tls.is_some()), (2, Some("u"), true));
    assert!(config.warnings().is_empty());
    assert_eq!(read("redis+sentinel://a/s?db=4").db, 4);

    let config = read("redis+cluster://:p@a,b:7000");
    assert_eq!(config.deployment, Deployment::Cluster { seeds: vec![tcp("a", 6379), tcp("b", 7000)] });
    assert_eq!(config.login.password.as_deref(), Some("p"));
    assert_eq!(read("redis+cluster://").deployment, Deployment::Cluster { seeds: vec![tcp("localhost", 6379)] });
}

#[test]
fn an_error_names_the_invalid_part_and_never_a_password() {
    for (url, part) in [
        ("", "begin"),
        ("http://h", "; it begins with http://"),
        ("REDIS://h", "begin"),
        ("redis:h", "begin"),
        ("localhost:6379", "; did you mean redis://localhost:6379?"),
        ("h.example:6379/2", "; did you mean redis://h.example:6379/2?"),
        ("Geheim", "begin"),
        ("x:Geheim@h:6379", "begin"),
        ("Geheim@h://i", "begin"),
        ("redis://h/abc", "database"),
        ("redis://h/-1", "database"),
        ("redis://h/1/2", "database"),
        ("redis://h?db=abc", "db"),
        ("redis://h?db=-1", "db"),
        ("redis://h:0", "port"),
        ("redis://h:65536", "port"),
        ("redis://h:+1", "port"),
        ("redis://h:abc", "port"),
        ("redis://?port=abc", "port"),
        ("redis://[::1", "]"),
        ("redis://[::1]x", "port"),
        ("redis://h?socket_timeout=abc", "socket_timeout"),
        ("redis://h?socket_timeout=0", "socket_timeout"),
        ("redis://h?socket_timeout=-1", "socket_timeout"),
        ("redis://h?socket_timeout=nan", "socket_timeout"),
        ("redis://h?socket_connect_timeout=inf", "socket_connect_timeout"),
        ("redis://h?health_check_interval=1.5", "health_check_interval"),
        ("redis://h?protocol=4", "protocol"),
        ("redis://h?client_name=a%20b", "client_name"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("unix://", "path"),
        ("redis+sentinel://h", "service"),
        ("redis+sentinel://h/", "service"),
        ("redis+sentinel://h/s/x", "database"),
        ("redis+cluster://h/1", "Cluster"),
        ("redis+cluster://h,,i", "comma"),
        ("redis://:%FF@h", "UTF-8"),
        // A password that is not percent-encoded.
        ("redis://:12/Geheim@h", "@"),
        ("redis://:12?Geheim@h", "@"),
        ("redis://:Geheim/x@h", "@"),
        ("redis://:Geheim?x@h", "@"),
        ("redis://:Geheim#x@h", "#"),
        ("redis://:Geheim@h/x", "database"),
    ] {
        let error = RedisConfig::from_url(url).expect_err(url);
        assert!(error.is_invalid(), "{url}");
        let text = error.to_string();
        assert!(text.starts_with("Redis URL ") && text.contains(part), "{url}: {text}");
        assert!(!format!("{error:?}{text}").contains("Geheim"), "{url}: {text}");
    }
}

#[test]
fn ignored_options_are_named() {
    let named = |url| read(url).warnings().join("; ");
    assert_eq!(
        named("redis://h?max_connections=9&retry_on_timeout=1&foo=x"),
        "option \"max_connections\" is ignored; option \"retry_on_timeout\" is ignored; \
         option \"foo\" is ignored"
    );
    assert!(named("redis://h?ssl_cert_reqs=none").contains("rediss://"));
    assert!(named("redis://h?protocol=2").contains("protocol=2"));
    assert!(named("unix:///s?host=h").contains("host"));
    assert!(named("redis://h?%0a=x").contains("\\n"));
}

#[test]
fn every_password_is_masked() {
    for (url, masked) in [
        ("redis://", "redis://"),
        (" redis://h/1?db=2\n", "redis://h/1?db=2"),
        ("redis://:Geheim@h:1/2", "redis://:***@h:1/2"),
        ("redis://u:Ge@heim@h", "redis://u:***@h"),
        ("redis://u:@h", "redis://u:@h"),
        ("redis://u@h?x=1&pass%77ord=Geheim&y", "redis://u@h?x=1&pass%77ord=***&y"),
        ("unix:///s?password=Geheim", "unix:///s?password=***"),
        (
            "redis+sentinel://:Geheim@a,b/s?sentinel_password=Geheim",
            "redis+sentinel://:***@a,b/s?sentinel_password=***",
        ),
        ("rediss://h?ssl_password=Geheim", "rediss://h?ssl_password=***"),
    ] {
        let config = read(url);
        assert_eq!(config.to_string(), masked);
        assert_eq!(format!("{config:?}"), format!("RedisConfig({masked})"));
        assert!(!format!("{:?}{:?}", config.deployment, config.login).contains("Geheim"), "{url}");
    }
}

#[test]
fn a_prefix_is_printable_and_has_no_braces() {
    let config = read("redis://h");
    for wrong in ["", "a b", "{a}", "é", "a\n", &"x".repeat(65)] {
        assert!(config.clone().prefix(wrong).expect_err(wrong).is_invalid());
    }
    assert_eq!(config.prefix("app:sse").expect("a good one").prefix, "app:sse");
}

fn read(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.to_owned(), port }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

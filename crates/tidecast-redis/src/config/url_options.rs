//! Turns the parts of a URL into a configuration. Options have their meaning in redis-py 8.

use std::{path::PathBuf, str::FromStr, time::Duration};

use tidecast::Result;

use super::{
    Deployment, Login, RedisConfig,
    url::{Host, Url, UrlKind, decoded, invalid, parse_port},
};
use crate::{address::Address, tls::TlsOptions};

pub(super) fn read(url: Url) -> Result<RedisConfig> {
    let Url { kind, tls, username, password, hosts, path, query, masked } = url;
    let mut options = QueryOptions { remaining: query };
    let db_option = options.take_number("db", "a number from 0")?;
    let (deployment, db_in_path) = match kind {
        UrlKind::Standalone => (read_one(hosts, &mut options)?, path.as_str()),
        UrlKind::Unix => (read_unix(&path, &mut options)?, ""),
        UrlKind::Sentinel => read_sentinel(hosts, &path, &mut options)?,
        UrlKind::Cluster => {
            (Deployment::Cluster { seeds: hosts.into_iter().map(|host| tcp(host, 6379)).collect() }, &*path)
        }
    };
    let db = match db_option {
        Some(db) => db,
        None => read_db(db_in_path)?,
    };
    if kind == UrlKind::Cluster && db != 0 {
        return Err(invalid("names a database: a Cluster has 0 only"));
    }

    let mut config = RedisConfig::new(masked, deployment);
    config.db = db;
    // The part before the host takes precedence over the option.
    let (in_query_username, in_query_password) = (options.take("username"), options.take("password"));
    config.login = Login { username: username.or(in_query_username), password: password.or(in_query_password) };
    if let Some(name) = options.take("client_name") {
        // `CLIENT SETNAME` accepts no other.
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("has a client_name that is not printable ASCII without spaces"));
        }
        config.client_name = name;
    }
    if let Some(timeout) = options.take_seconds("socket_timeout")? {
        config = config.command_timeout(timeout);
    }
    if let Some(timeout) = options.take_seconds("socket_connect_timeout")? {
        config = config.connect_timeout(timeout);
    }
    let interval: Option<u32> = options.take_number("health_check_interval", "a number of seconds from 0")?;
    // In redis-py 0 disables the check. Here it keeps the default: a connection to a frozen server would never end.
    if let Some(seconds) = interval.filter(|seconds| *seconds > 0) {
        config.probe_interval = Duration::from_secs(seconds.into());
    }
    config.keepalive = options.take_bool("socket_keepalive").unwrap_or(true);
    match options.take("protocol").as_deref() {
        None | Some("3") => {}
        Some("2") => {
            config.resp2 = true;
            config.warnings.push("protocol=2 applies to commands only: pub/sub requires 3".to_owned());
        }
        Some(_) => return Err(invalid("has a protocol that is neither 2 nor 3")),
    }
    if tls {
        config.tls = Some(read_tls(&mut options)?);
    }
    for (name, _) in options.remaining {
        config.warnings.push(if name.starts_with("ssl_") && !tls {
            format!("option {name:?} is ignored without TLS: use rediss://")
        } else {
            format!("option {name:?} is ignored")
        });
    }
    Ok(config)
}

/// The options that were not taken yet.
struct QueryOptions {
    remaining: Vec<(String, String)>,
}

impl QueryOptions {
    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.remaining.iter().position(|(known, _)| known == name)?;
        Some(self.remaining.remove(index).1)
    }

    fn take_path(&mut self, name: &str) -> Option<PathBuf> {
        self.take(name).map(PathBuf::from)
    }

    fn take_bool(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?.to_ascii_uppercase();
        Some(!["0", "F", "FALSE", "N", "NO"].contains(&value.as_str()))
    }

    fn take_number<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>> {
        let Some(text) = self.take(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(format!("has a {name} that is not {what}")))
    }

    fn take_seconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some(seconds) = self.take_number(name, "a number of seconds")? else { return Ok(None) };
        let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero());
        match duration {
            Some(duration) if duration <= TIMEOUT_MAX => Ok(Some(duration)),
            _ => Err(invalid(format!("has a {name} that is not more than 0 and at most a day"))),
        }
    }
}

fn read_one(mut hosts: Vec<Host>, options: &mut QueryOptions) -> Result<Deployment> {
    let mut host = hosts.pop().unwrap_or_default();
    let (name_option, port_option) = (options.take("host"), options.take("port"));
    host.name = host.name.or(name_option);
    if let (None, Some(port)) = (host.port, port_option) {
        host.port = Some(parse_port(&port)?);
    }
    Ok(Deployment::Standalone(tcp(host, 6379)))
}

fn read_unix(path: &str, options: &mut QueryOptions) -> Result<Deployment> {
    let path_option = options.take("path");
    let path = decoded("path", Some(path))?.or(path_option);
    let path = path.ok_or_else(|| invalid("has no path: unix:///run/redis.sock"))?;
    Ok(Deployment::Standalone(Address::Unix(path.into())))
}

fn read_sentinel<'a>(hosts: Vec<Host>, path: &'a str, options: &mut QueryOptions) -> Result<(Deployment, &'a str)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (service, db) = path.split_once('/').unwrap_or((path, ""));
    let service = decoded("service", Some(service))?;
    let service = service.ok_or_else(|| invalid("names no service: redis+sentinel://HOST:26379/SERVICE"))?;
    let login = Login { username: options.take("sentinel_username"), password: options.take("sentinel_password") };
    let sentinels = hosts.into_iter().map(|host| tcp(host, 26379)).collect();
    Ok((Deployment::Sentinel { sentinels, service, login }, db))
}

/// Parses the database. An empty path and a slash alone are 0.
fn read_db(path: &str) -> Result<u32> {
    let text = decoded("database", path.strip_prefix('/').or(Some(path)))?.unwrap_or_default();
    let text = text.strip_suffix('/').unwrap_or(&text);
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| invalid("has a database that is not a number from 0"))
}

fn read_tls(options: &mut QueryOptions) -> Result<TlsOptions> {
    let verify_chain = match options.take("ssl_cert_reqs").as_deref() {
        None | Some("required" | "optional") => true,
        Some("none") => false,
        Some(_) => return Err(invalid("has an ssl_cert_reqs other than none, optional or required")),
    };
    let verify_hostname = options.take_bool("ssl_check_hostname").unwrap_or(true);
    let version_min: Option<u32> = options.take_number("ssl_min_version", "a number as in Python's ssl.TLSVersion")?;
    Ok(TlsOptions {
        verify_chain,
        verify_hostname: verify_chain && verify_hostname,
        authorities_file: options.take_path("ssl_ca_certs"),
        authorities_folder: options.take_path("ssl_ca_path"),
        certificate_file: options.take_path("ssl_certfile"),
        key_file: options.take_path("ssl_keyfile"),
        // The number on the wire: 0x0303 is TLS 1.2, which is the minimum anyway.
        tls13_only: version_min.is_some_and(|version| version > 0x0303),
    })
}

fn tcp(host: Host, port: u16) -> Address {
    Address::Tcp { host: host.name.unwrap_or_else(|| "localhost".to_owned()), port: host.port.unwrap_or(port) }
}

/// The longest time-out.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

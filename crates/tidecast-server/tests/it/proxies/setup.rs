//! A proxy as `docs/proxies.md` configures it. Around the page's blocks stands what a package or the host would
//! configure, and the ports are free ones.

use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tidecast_test::{HttpConnection, eventually, free_port};

const PAGE: &str = include_str!("../../../../../docs/proxies.md");

/// The proxies of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    Lighttpd,
}

/// A running proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    child: Child,
    folder: PathBuf,
    /// The address for HTTP/1.1 without TLS.
    pub(super) plain: SocketAddr,
    /// The address for HTTP/2 without TLS, unless the page disables HTTP/2.
    pub(super) http2: Option<SocketAddr>,
    /// The number of streams on one connection: the page's own number, or else forty.
    pub(super) http2_streams: usize,
    /// The address with TLS, as on the page.
    pub(super) tls: SocketAddr,
}

impl Proxy {
    /// Starts a proxy in front of one hub or two, and waits until it accepts connections.
    pub(super) async fn start(kind: Kind, hubs: &[SocketAddr]) -> Self {
        let [plain, http2, tls] = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let folder = std::env::temp_dir().join(format!("tidecast-{kind:?}-{}-{}", std::process::id(), plain.port()));
        fs::create_dir_all(&folder).expect("a folder for the proxy");
        let named = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (certificate, key) = (named.cert.pem(), named.signing_key.serialize_pem());
        fs::write(folder.join("events.crt"), &certificate).expect("a file");
        fs::write(folder.join("events.key"), &key).expect("a file");
        fs::write(folder.join("events.pem"), key + &certificate).expect("a file");
        let configuration = kind.configuration(hubs, &folder, [plain, http2, tls]);
        let file = folder.join("configuration");
        fs::write(&file, configuration).expect("a file");
        let child = kind.command(&file, &folder).process_group(0).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{kind:?} can't be started ({error}): cargo xtask setup installs it"));
        let proxy = Self {
            child,
            folder,
            plain,
            http2: (kind != Kind::Apache).then_some(http2),
            http2_streams: if kind == Kind::Lighttpd { 8 } else { 40 },
            tls,
        };
        for address in [Some(plain), proxy.http2, Some(tls)].into_iter().flatten() {
            eventually("the proxy accepts connections", async || tokio::net::TcpStream::connect(address).await.is_ok())
                .await;
        }
        proxy
    }

    /// Connects through the proxy as a client that gives up if it gets no response.
    pub(super) async fn connection(&self) -> HttpConnection {
        HttpConnection::open(self.plain).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The process group, as some proxies leave their workers behind.
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            for file in ["configuration", "log"] {
                let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
                eprintln!("--- {file} of the proxy:\n{text}---");
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Kind {
    /// Returns the blocks of the page. The last replaces the one that names the hub.
    fn blocks(self) -> Vec<&'static str> {
        let fence = match self {
            Self::Nginx => "```nginx\n",
            Self::Haproxy => "```haproxy\n",
            Self::Apache => "```apache\n",
            Self::Caddy => "```caddyfile\n",
            Self::Lighttpd => "```lighttpd\n",
        };
        PAGE.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
    }

    /// Returns the page's configuration with the addresses and files of the test.
    fn configuration(self, hubs: &[SocketAddr], folder: &Path, [plain, http2, tls]: [SocketAddr; 3]) -> String {
        let mut blocks = self.blocks();
        let two = blocks.pop().expect("the page has blocks of each proxy");
        let one = blocks.iter_mut().find(|block| block.contains("8000")).expect("a block names the hub");
        if hubs.len() == 2 {
            *one = two;
        }
        let mut text = blocks.concat();
        let mut put = |old: &str, new: &str| {
            assert!(text.contains(old), "the configuration of {self:?} has no {old}");
            text = text.replace(old, new);
        };
        let folder = folder.display();
        for (documented, hub) in [8000, 8001].iter().zip(hubs) {
            match self {
                Self::Lighttpd => put(&format!("\"port\" => {documented}"), &format!("\"port\" => {}", hub.port())),
                _ => put(&format!("127.0.0.1:{documented}"), &hub.to_string()),
            }
        }
        if self != Self::Caddy {
            put("/etc/ssl/", &format!("{folder}/"));
        }
        match self {
            Self::Nginx => {
                let listen = format!("listen {tls} ssl http2; listen {plain}; listen {http2} http2;");
                put("listen 443 ssl http2;", &listen);
                let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {folder}/{name};"))
                    .concat();
                format!(
                    "daemon off; pid {folder}/pid; worker_processes 1; error_log stderr;\n\
                     events {{ worker_connections 1024; }}\nhttp {{ access_log off; {paths}\n{text}}}\n"
                )
            }
            Self::Haproxy => {
                let frontend = "frontend events\n";
                put(frontend, &format!("{frontend}    bind {plain}\n    bind {http2} proto h2\n"));
                put("bind :443", &format!("bind {tls}"));
                format!("global\n    maxconn 1000\n{text}")
            }
            Self::Apache => {
                let listed =
                    ["mpm_event", "authz_core", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests"];
                let listed = listed.into_iter().chain(["slotmem_shm", "socache_shmcb", "ssl", "http2"]);
                let modules: String = listed
                    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                    .collect();
                // The same site without TLS.
                let host = text.split("<VirtualHost").nth(1).and_then(|host| host.split("</VirtualHost>").next());
                let host = host.expect("a virtual host").lines().filter(|line| !line.trim().starts_with("SSL"));
                let host = host.collect::<Vec<_>>().join("\n").replace("*:443", &plain.to_string());
                let host = format!("<VirtualHost{host}\n</VirtualHost>\n");
                let text = text.replace("*:443", &tls.to_string());
                format!(
                    "{modules}PidFile {folder}/pid\nMutex file:{folder} default\nDefaultRuntimeDir {folder}\n\
                     User www-data\nGroup www-data\nServerName localhost\nErrorLog {folder}/log\n\
                     Listen {plain}\nListen {tls}\n{text}\n{host}"
                )
            }
            Self::Caddy => {
                let site = "events.example.com {\n";
                let tls_of = format!("https://{tls} {{\n    tls {folder}/events.crt {folder}/events.key\n");
                // The proxy compares the host of a request as a name.
                put(site, &tls_of);
                let others = format!("http://{plain}, http://{http2} {{\n    import tidecast\n}}\n");
                format!(
                    "{{\n    admin off\n    auto_https off\n    servers {{\n        protocols h1 h2 h2c\n    }}\n}}\n\
                     {text}{others}"
                )
            }
            Self::Lighttpd => {
                put("\":443\"", &format!("\"{tls}\""));
                let second = format!("$SERVER[\"socket\"] == \"{http2}\" {{ }}\n");
                format!(
                    "server.document-root = \"{folder}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {}\n{text}{second}",
                    plain.port()
                )
            }
        }
    }

    fn command(self, file: &Path, folder: &Path) -> Command {
        let log = fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        let (program, arguments): (_, &[&str]) = match self {
            Self::Nginx => ("/usr/sbin/nginx", &["-e", "stderr", "-c"]),
            Self::Haproxy => ("/usr/sbin/haproxy", &["-f"]),
            Self::Apache => ("/usr/sbin/apache2", &["-D", "FOREGROUND", "-f"]),
            Self::Caddy => ("/usr/bin/caddy", &["run", "--adapter", "caddyfile", "--config"]),
            Self::Lighttpd => ("/usr/sbin/lighttpd", &["-D", "-f"]),
        };
        let mut command = Command::new(program);
        command.args(arguments).arg(file).current_dir(folder).env("HOME", folder).env("XDG_DATA_HOME", folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        command
    }
}

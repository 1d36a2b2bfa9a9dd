//! nginx with nchan from Debian's packages, with a configuration in a temporary folder.
//!
//! For the best comparison it retains as much as the hub and writes no log. Subscribers begin with the oldest event,
//! which in a new channel is the first. With `newest`, subscribers of a worker that does not own the channel missed
//! first events that were published long after their streams had begun.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{Server, dialect::Dialect, process};

const NGINX: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// The folder that the packaged nginx needs at its start, whatever its configuration.
const FOLDER: &str = "/var/lib/nginx";

pub(super) fn missing() -> Option<&'static str> {
    let there = [NGINX, MODULE, FOLDER].iter().all(|path| Path::new(path).exists());
    (!there).then_some("nginx with nchan is not installed: `cargo xtask setup` installs it")
}

pub(super) fn start(workers: usize) -> Result<Server> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let folder = env::temp_dir().join(format!("tidecast-bench-{}-{}", std::process::id(), address.port()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("nginx.conf"), configuration(workers, address))?;
    let mut nginx = Command::new(NGINX);
    nginx.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "error.log"]);
    let process = nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut server = Server::new(process, Dialect::Path, address);
    server.folder = Some(folder.clone());
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() || server.processes()?.count() <= workers {
        let log = || fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        ensure!(matches!(server.process.try_wait(), Ok(None)), "nginx ends: {}", log());
        if Instant::now() > deadline {
            process::end(&mut server.process);
            anyhow::bail!("nginx does not listen: {}", log());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(server)
}

fn configuration(workers: usize, address: SocketAddr) -> String {
    // By default, workers run as a user who may not read the folder. Only root can change that.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let reuse = if workers > 1 { " reuseport" } else { "" };
    format!(
        "{user}
load_module {MODULE};
daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log crit;
events {{
    use epoll;
    worker_connections 19000;
    multi_accept on;
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_in_single_buffer on;
    client_body_buffer_size 16k;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    nchan_shared_memory_size 512M;
    nchan_message_buffer_length 10000;
    nchan_message_timeout 5m;
    server {{
        listen {address} backlog=4096{reuse};
        location ~ ^/publish/(.+)$ {{
            nchan_publisher http;
            nchan_channel_id $1;
        }}
        location ~ ^/stream/(.+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_channel_id_split_delimiter \",\";
            nchan_subscriber_first_message oldest;
            nchan_subscriber_timeout 0;
        }}
    }}
}}
"
    )
}

//! nginx with nchan from Debian's packages.
//!
//! For the best comparison it retains as much as the hub and writes no log. Subscribers begin with the oldest event,
//! which in a new channel is the first. With `newest`, subscribers of a worker that does not own the channel missed
//! first events that were published long after their streams had begun.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Server, configured::Start, dialect::Dialect};

pub(super) const CONFIGURATION: &str = include_str!("../../peers/nchan.conf");

const NGINX: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// The folder that the packaged nginx needs at its start, whatever its configuration.
const FOLDER: &str = "/var/lib/nginx";

pub(super) fn is_installed() -> bool {
    [NGINX, MODULE, FOLDER].iter().all(|path| Path::new(path).exists())
}

pub(super) fn start(workers: usize) -> Result<Server> {
    let start = Start::new()?;
    // By default, workers run as a user who may not read the folder. Only root can change that.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let configuration = CONFIGURATION
        .replace("{user}", user)
        .replace("{module}", MODULE)
        .replace("{workers}", &workers.to_string())
        .replace("{reuse}", if workers > 1 { " reuseport" } else { "" });
    start.write("nginx.conf", &configuration)?;
    let mut nginx = Command::new(NGINX);
    nginx.arg("-p").arg(&start.folder).args(["-c", "nginx.conf", "-e", "error.log"]);
    start.run(nginx, Dialect::Path, 1 + workers)
}

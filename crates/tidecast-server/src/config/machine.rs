//! Defaults and limits that depend on the machine: its open files and its cores.

use crate::limits::{CONNECTIONS_KEPT, FILES_KEPT, FILES_NEEDED, FILES_NEEDED_PER_CORE, FILES_WARNED_BELOW};

/// Raises the limit of open files as far as the system allows, and returns it.
pub(super) fn open_files_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.and_then(|files| usize::try_from(files).ok()).unwrap_or(1 << 20)
}

/// Returns how many connections a limit of open files allows.
pub(super) fn default_connections(files_max: usize) -> usize {
    files_max.saturating_sub(FILES_KEPT.min(files_max / 4).max(files_needed())).max(1)
}

/// Returns how many of the connections may be streams.
pub(super) fn default_streams(connections_max: usize) -> usize {
    connections_max.saturating_sub((connections_max / 3).clamp(1, CONNECTIONS_KEPT)).max(1)
}

/// Returns half the number of cores. As many threads as cores read, parse and publish what the reactors write. On two
/// cores, with as many subscribers as publishers can feed, one reactor delivers a tenth to a quarter more than two.
pub(super) fn default_reactors() -> usize {
    if cfg!(target_os = "linux") { (cores() / 2).max(1) } else { 0 }
}

/// Returns the warnings about a limit of open files that is low for the connections and streams.
pub(super) fn warnings(files_max: usize, connections_max: usize, streams_max: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if files_max < FILES_WARNED_BELOW {
        warnings.push(format!(
            "the limit of open files is {files_max}, which leaves {connections_max} connections and {streams_max} \
             streams: raise it with `ulimit -n` or `LimitNOFILE=`"
        ));
    } else if connections_max > files_max.saturating_sub(files_needed()) {
        warnings.push(format!(
            "connections_max is {connections_max} and the limit of open files is {files_max}: raise that limit with \
             `ulimit -n` or `LimitNOFILE=`, or lower connections_max"
        ));
    }
    if streams_max >= connections_max {
        warnings.push(format!(
            "streams_max is {streams_max} and connections_max is {connections_max}: streams can take every connection, \
             and leave none for publishers and health checks; lower streams_max"
        ));
    }
    warnings
}

/// Returns why the hub cannot start with a limit of open files, if so.
pub(super) fn too_few_files(files_max: usize) -> Option<String> {
    let needed = files_needed();
    (files_max <= needed).then(|| {
        format!(
            "the limit of open files is {files_max}, and the hub needs more than {needed}: raise it with `ulimit -n`"
        )
    })
}

/// Returns how many files the hub opens for itself.
fn files_needed() -> usize {
    FILES_NEEDED + FILES_NEEDED_PER_CORE * cores()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

//! Publishes over HTTP: a number of requests at once, and further ones after all responses, so that the hub reads the
//! same bytes in the same pieces each time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};
use memchr::memmem;

const AT_ONCE: u64 = 16;

/// Publishes this many events, a multiple of [`AT_ONCE`].
pub(crate) fn publish(address: SocketAddr, target: &str, times: u64) -> Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    // A hub under valgrind is about fifty times as slow.
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let body = format!("{{\"channel\":\"c\",\"data\":\"{}\"}}", "0123456789abcdef".repeat(4));
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    let requests = format!("{head}{body}").repeat(AT_ONCE as usize);
    let mut answers = Vec::new();
    let mut piece = [0; 64 * 1024];
    for _ in 0..times / AT_ONCE {
        socket.write_all(requests.as_bytes())?;
        answers.clear();
        while memmem::find_iter(&answers, b"\"receivers\":0}").count() < AT_ONCE as usize {
            let read = socket.read(&mut piece)?;
            ensure!(read > 0, "the hub closed the connection: {}", String::from_utf8_lossy(&answers));
            answers.extend_from_slice(&piece[..read]);
        }
        ensure!(memmem::find_iter(&answers, b"HTTP/1.1 200").count() == AT_ONCE as usize, "a publish was refused");
    }
    Ok(())
}

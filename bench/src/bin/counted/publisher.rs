//! Publishes over HTTP. Further requests follow only after all responses, so that the hub reads the same bytes in the same
//! pieces each time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::Duration,
};

use anyhow::{Result, ensure};
use memchr::memmem;

/// The requests of a case.
pub(crate) struct Requests {
    pub(crate) form: Form,
    /// Further lines of their heads. `HUB` stands for the hub's address.
    pub(crate) headers: &'static str,
    pub(crate) way: Way,
}

/// The form of a request, of which each event has 64 bytes.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Json,
    /// [`BATCH`] events as JSON.
    Batch,
    Pairs,
    /// Text, with the channel in the query.
    Text,
}

/// The way in which requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// [`AT_ONCE`] at once on one connection.
    AtOnce,
    /// On one connection, each after the response to the one before.
    OneByOne,
    /// The same, and each body after the hub has asked for it.
    Asked,
    /// Each on a new connection.
    NewConnection,
    /// Each on a new connection, head and body apart.
    NewConnectionInTwo,
}

/// The number of events of a batch.
pub(crate) const BATCH: u64 = 16;

const AT_ONCE: usize = 16;

/// The time between head and body, in which a hub under valgrind reads the head.
const BETWEEN: Duration = Duration::from_millis(20);

impl Requests {
    /// Returns the head and the body of a request.
    fn parts(&self, address: SocketAddr) -> [String; 2] {
        let data = "0123456789abcdef".repeat(4);
        let json = format!("{{\"channel\":\"c\",\"data\":\"{data}\"}}");
        let (target, content_type, body) = match self.form {
            Form::Json => ("/publish", "application/json", json),
            Form::Batch => ("/publish", "application/json", format!("[{}]", vec![json; BATCH as usize].join(","))),
            Form::Pairs => ("/publish", "application/x-www-form-urlencoded", format!("channel=c&data={data}")),
            Form::Text => ("/publish?channel=c", "text/plain", data),
        };
        let (length, headers) = (body.len(), self.headers.replace("HUB", &address.to_string()));
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {length}\
             \r\n\r\n"
        );
        [head, body]
    }

    /// Sends this many requests, a multiple of [`AT_ONCE`].
    pub(crate) fn send(&self, address: SocketAddr, times: u64) -> Result<()> {
        let [head, body] = self.parts(address);
        let whole = format!("{head}{body}");
        let mut connection = Connection::open(address)?;
        match self.way {
            Way::AtOnce => {
                let requests = whole.repeat(AT_ONCE);
                for _ in 0..times / AT_ONCE as u64 {
                    connection.0.write_all(requests.as_bytes())?;
                    connection.responses("HTTP/1.1 200 ", AT_ONCE)?;
                }
            }
            Way::OneByOne => {
                for _ in 0..times {
                    connection.0.write_all(whole.as_bytes())?;
                    connection.responses("HTTP/1.1 200 ", 1)?;
                }
            }
            Way::Asked => {
                for _ in 0..times {
                    connection.0.write_all(head.as_bytes())?;
                    connection.responses("HTTP/1.1 100 ", 1)?;
                    connection.0.write_all(body.as_bytes())?;
                    connection.responses("HTTP/1.1 200 ", 1)?;
                }
            }
            Way::NewConnection => {
                for _ in 0..times {
                    let mut connection = Connection::open(address)?;
                    connection.0.write_all(whole.as_bytes())?;
                    connection.responses("HTTP/1.1 200 ", 1)?;
                }
            }
            Way::NewConnectionInTwo => {
                for _ in 0..times {
                    let mut connection = Connection::open(address)?;
                    connection.0.write_all(head.as_bytes())?;
                    sleep(BETWEEN);
                    connection.0.write_all(body.as_bytes())?;
                    connection.responses("HTTP/1.1 200 ", 1)?;
                }
            }
        }
        Ok(())
    }
}

struct Connection(TcpStream);

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        // A hub under valgrind is about fifty times as slow.
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(socket))
    }

    /// Reads this many responses, which all begin so.
    fn responses(&mut self, beginning: &str, count: usize) -> Result<()> {
        let mut answers = Vec::new();
        let mut piece = [0; 64 * 1024];
        // A response that asks for the body ends with its head, the others with an event or a batch.
        let ends: [&[u8]; 2] = if beginning.contains("100") { [b"\r\n\r\n", b"]\n"] } else { [b"}\n", b"]\n"] };
        while ends.iter().map(|end| memmem::find_iter(&answers, end).count()).sum::<usize>() < count {
            let read = self.0.read(&mut piece)?;
            ensure!(read > 0, "the hub closed the connection: {}", String::from_utf8_lossy(&answers));
            answers.extend_from_slice(&piece[..read]);
        }
        let found = memmem::find_iter(&answers, beginning).count();
        ensure!(found == count, "a publish was refused: {}", String::from_utf8_lossy(&answers));
        Ok(())
    }
}

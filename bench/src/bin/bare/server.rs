//! The loop: reads from ready sockets and writes to the readers of channels with new events.
//!
//! A channel's readers are served from the last to the first, so that one which leaves meanwhile is replaced by one
//! that was served already.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use anyhow::Result;
use rustix::{
    event::{Timespec, epoll},
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt},
};

use crate::{
    Mode,
    channel::{Channel, Reader},
    connection::{Connection, ReaderIndex, write},
    request::{Request, read, waits_to_continue},
};

const LISTENER: u64 = u64::MAX;
const BACKLOG: i32 = 4_096;

/// Sends between two checks for new publishes.
const SENDS: usize = 64;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const UNKNOWN: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// The server.
pub(crate) struct Server {
    mode: Mode,
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    names: HashMap<Vec<u8>, u32>,
    channels: Vec<Channel>,
    /// Channels with new events.
    queued: Vec<u32>,
    buffer: Vec<u8>,
    answers: Vec<u8>,
}

impl Server {
    pub(crate) fn bind(mode: Mode) -> Result<Self> {
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self {
            mode,
            listener: listener.into(),
            epoll,
            connections: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            channels: Vec::new(),
            queued: Vec::new(),
            buffer: vec![0; 64 * 1024],
            answers: Vec::new(),
        })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    pub(crate) fn serve(&mut self) -> Result<()> {
        loop {
            self.poll(self.queued.is_empty())?;
            while let Some(channel) = self.queued.pop() {
                self.round(channel)?;
            }
        }
    }

    /// Handles the ready sockets.
    fn poll(&mut self, may_wait: bool) -> Result<()> {
        let mut ready = [const { std::mem::MaybeUninit::uninit() }; 256];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let (ready, _) = match epoll::wait(&self.epoll, &mut ready, (!may_wait).then_some(&now)) {
            Ok(ready) => ready,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in ready {
            let flags = event.flags;
            match event.data.u64() {
                LISTENER => self.accept()?,
                number => {
                    let number = number as u32;
                    if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP) {
                        self.receive(number)?;
                    }
                    if flags.contains(epoll::EventFlags::OUT) {
                        self.catch_up(number)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let socket = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or(self.connections.len() as u32);
            let edges =
                epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(number.into()), edges)?;
            let connection = Some(Connection { socket, input: Vec::new(), stream: None });
            match self.connections.get_mut(number as usize) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    /// Reads and handles requests; one write responds to all publishes of a read.
    fn receive(&mut self, number: u32) -> Result<()> {
        loop {
            let Some(connection) = self.connections[number as usize].as_mut() else { return Ok(()) };
            let read = match connection.socket.read(&mut self.buffer) {
                Ok(0) => return self.close(number),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return self.close(number),
            };
            // Bytes that a client sends after its request for a stream are ignored.
            if connection.stream.is_some() {
                continue;
            }
            let mut input = std::mem::take(&mut connection.input);
            input.extend_from_slice(&self.buffer[..read]);
            let taken = self.requests(number, &input)?;
            input.drain(..taken);
            if waits_to_continue(&input) {
                self.answers.extend_from_slice(CONTINUE);
            }
            if let Some(connection) = &mut self.connections[number as usize]
                && connection.stream.is_none()
            {
                connection.input = input;
                write(&connection.socket, &self.answers)?;
            }
            self.answers.clear();
        }
    }

    fn requests(&mut self, number: u32, input: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while let Some((request, length)) = read(&input[taken..]) {
            taken += length;
            match request {
                Request::Publish { channel, data } => {
                    let channel = self.channel(channel);
                    self.publish(channel, data)?;
                    self.answers.extend_from_slice(ANSWER);
                }
                Request::Stream { channel } => {
                    let channel = self.channel(channel);
                    self.listen(number, channel)?;
                    break;
                }
                Request::Unknown => self.answers.extend_from_slice(UNKNOWN),
            }
        }
        Ok(taken)
    }

    fn channel(&mut self, name: &[u8]) -> u32 {
        if let Some(&channel) = self.names.get(name) {
            return channel;
        }
        let channel = self.channels.len() as u32;
        self.names.insert(name.to_owned(), channel);
        self.channels.push(Channel::default());
        channel
    }

    fn listen(&mut self, number: u32, channel: u32) -> Result<()> {
        let Some(connection) = &mut self.connections[number as usize] else { return Ok(()) };
        let at = &mut self.channels[channel as usize];
        connection.stream = Some(ReaderIndex { channel, reader: at.readers.len() as u32 });
        let cursor = at.end();
        at.readers.push(Reader { connection: number, cursor });
        write(&connection.socket, HEAD)?;
        Ok(())
    }

    fn publish(&mut self, channel: u32, data: &[u8]) -> Result<()> {
        let at = &mut self.channels[channel as usize];
        let before = at.end();
        at.append(data);
        match self.mode {
            Mode::Each => {
                // A reader with a backlog is served when its socket is writable again.
                for reader in (0..self.channels[channel as usize].readers.len()).rev() {
                    if self.channels[channel as usize].readers[reader].cursor == before {
                        self.send(channel, reader)?;
                    }
                }
                self.trim(channel);
            }
            Mode::Coalescing if !at.queued => {
                at.queued = true;
                self.queued.push(channel);
            }
            Mode::Coalescing => {}
        }
        Ok(())
    }

    /// Writes new events to all readers of a channel, until there are none.
    fn round(&mut self, channel: u32) -> Result<()> {
        self.channels[channel as usize].queued = false;
        let mut sends = 0;
        for reader in (0..self.channels[channel as usize].readers.len()).rev() {
            self.send(channel, reader)?;
            sends += 1;
            if sends % SENDS == 0 {
                self.poll(false)?;
            }
        }
        self.trim(channel);
        Ok(())
    }

    /// Writes to one reader once.
    fn send(&mut self, channel: u32, reader: usize) -> Result<()> {
        let at = &mut self.channels[channel as usize];
        let end = at.end();
        // Some may have left since the round began.
        let Some(Reader { connection, cursor }) = at.readers.get(reader) else { return Ok(()) };
        let (number, cursor) = (*connection, *cursor);
        if cursor == end {
            return Ok(());
        }
        let Some(connection) = &self.connections[number as usize] else { return Ok(()) };
        match write(&connection.socket, at.after(cursor))? {
            Some(written) => at.readers[reader].cursor += written as u64,
            None => self.close(number)?,
        }
        Ok(())
    }

    fn trim(&mut self, channel: u32) {
        let at = &mut self.channels[channel as usize];
        let end = at.end();
        let all_at_end = at.readers.iter().all(|reader| reader.cursor == end);
        at.trim(all_at_end);
    }

    /// Continues with a reader whose socket is writable again.
    fn catch_up(&mut self, number: u32) -> Result<()> {
        let place = self.connections[number as usize].as_ref().and_then(|connection| connection.stream);
        let Some(ReaderIndex { channel, reader }) = place else { return Ok(()) };
        self.send(channel, reader as usize)
    }

    fn close(&mut self, number: u32) -> Result<()> {
        let Some(connection) = self.connections[number as usize].take() else { return Ok(()) };
        self.free.push(number);
        let Some(ReaderIndex { channel, reader }) = connection.stream else { return Ok(()) };
        let readers = &mut self.channels[channel as usize].readers;
        readers.swap_remove(reader as usize);
        if let Some(Reader { connection: moved, .. }) = readers.get(reader as usize)
            && let Some(Connection { stream: Some(place), .. }) = &mut self.connections[*moved as usize]
        {
            place.reader = reader;
        }
        Ok(())
    }
}

//! One connection that listens: subscribes, and gives each push to a closure in the task that reads the socket.
//!
//! It does not connect again and remembers no channels; the listener does both. Its own reader, not the library's
//! multiplexed connection: that takes an unasked `sunsubscribe`, which a moved slot brings, for the reply to whatever
//! was asked last.

use crate::failure::Failure;

/// See the module. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct ListenConnection {}

impl ListenConnection {
    /// Returns when the server has confirmed every name.
    pub(crate) async fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        let _ = channels;
        unimplemented!()
    }

    pub(crate) async fn unsubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        let _ = channels;
        unimplemented!()
    }

    pub(crate) async fn ssubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        let _ = channels;
        unimplemented!()
    }

    pub(crate) async fn sunsubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        let _ = channels;
        unimplemented!()
    }

    /// Whether the server still answers, within the probe's timeout.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        unimplemented!()
    }

    /// Resolves when the connection has ended, with what ended it; at once if it has ended already.
    pub(crate) async fn closed(&self) -> String {
        unimplemented!()
    }
}

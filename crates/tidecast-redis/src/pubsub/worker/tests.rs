//! A worker on a real server, and its pending work.

use tidecast_test::{PATIENCE, redis::RedisServer};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::RedisConfig;

/// A promotion announced while the connection to the old primary was being opened went unnoticed.
#[tokio::test]
async fn a_primary_that_moves_during_the_connect_is_left() {
    let server = RedisServer::start(&[]);
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://127.0.0.1:{}", proxy.local_addr().unwrap().port());
    let context = BrokerContext::new(RedisConfig::from_url(&url).unwrap()).unwrap();
    let (shared, port) = (context.clone(), server.port);
    let connected_twice = async move {
        let (mut old, _) = proxy.accept().await.unwrap();
        let primary = Address::Tcp { host: "127.0.0.1".to_owned(), port };
        shared.commands.connector().switched.send_replace(Some(primary));
        tokio::spawn(async move {
            let mut redis = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = copy_bidirectional(&mut old, &mut redis).await;
        });
        proxy.accept().await.unwrap();
    };
    let find_target = async || Ok(context.commands.listen_targets(ChannelKind::Plain).await?.remove(0));
    let worker = PubSubWorker::new(0, ChannelKind::Plain);
    tokio::select! {
        () = worker.listen(&context, &find_target, &|| {}) => {}
        connected = time::timeout(PATIENCE, connected_twice) => connected.expect("it connects again"),
    }
}

/// The names of channels that came and went while Redis was unavailable were kept to be sent, hours of them.
#[test]
fn without_a_connection_no_work_is_kept() {
    let worker = PubSubWorker::new(0, ChannelKind::Plain);
    let names = |work: &PendingWork| (work.subscribe.len(), work.unsubscribe.len());
    let come_and_go = |number: u32| {
        let name: PubSubName = number.to_string().into_bytes().into();
        worker.subscribe(name.clone());
        worker.unsubscribe(name);
    };
    (0..1_000).for_each(come_and_go);
    assert_eq!(names(&worker.work.lock()), (0, 0));
    worker.work.lock().has_connection = true;
    (0..1_000).for_each(come_and_go);
    assert_eq!(names(&worker.work.lock()), (1_000, 1_000));
}

//! The contract of every broker, on one real server.

use std::sync::Arc;

use tidecast::conformance;
use tidecast_redis::{PlainFormat, RedisBroker, RedisConfig};
use tokio::time::timeout;

use crate::rig::server::{PATIENCE, Server};

async fn conforms(config: RedisConfig) {
    let broker = async || Arc::new(RedisBroker::new(config.clone()).expect("a runtime"));
    timeout(PATIENCE, conformance::all(broker)).await.expect("every rule ends");
}

#[tokio::test]
async fn a_server_by_itself_conforms() {
    let server = Server::start(&[]);
    conforms(RedisConfig::from_url(&server.url()).unwrap()).await;
}

#[tokio::test]
async fn channels_of_our_own_conform() {
    let server = Server::start(&[]);
    conforms(RedisConfig::from_url(&server.url()).unwrap().compat(false)).await;
}

#[tokio::test]
async fn the_older_payload_conforms() {
    let server = Server::start(&[]);
    conforms(RedisConfig::from_url(&server.url()).unwrap().plain_format(PlainFormat::Array)).await;
}

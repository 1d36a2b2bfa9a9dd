//! The contract of every broker, on every kind of Redis.

use std::sync::Arc;

use tidecast::{broker::Broker, conformance};
use tidecast_redis::{PlainFormat, RedisBroker, RedisConfig};
use tidecast_test::{
    PATIENCE,
    redis::{RedisCluster, RedisServer, SentinelSet},
};
use tokio::time::timeout;

async fn conforms(config: RedisConfig) {
    let broker = async || Arc::new(RedisBroker::new(config.clone()).expect("a runtime"));
    timeout(PATIENCE, conformance::all(&broker)).await.expect("every rule ends");
    let nodes: [Arc<dyn Broker>; 3] = [broker().await, broker().await, broker().await];
    timeout(PATIENCE, conformance::control_messages_reach_every_node(nodes)).await.expect("every message arrives");
}

#[tokio::test]
async fn a_single_server_conforms() {
    let server = RedisServer::start(&[]);
    conforms(RedisConfig::from_url(&server.url()).unwrap()).await;
}

#[tokio::test]
async fn prefixed_channels_conform() {
    let server = RedisServer::start(&[]);
    conforms(RedisConfig::from_url(&server.url()).unwrap().compat(false)).await;
}

#[tokio::test]
async fn the_legacy_payload_conforms() {
    let server = RedisServer::start(&[]);
    conforms(RedisConfig::from_url(&server.url()).unwrap().plain_format(PlainFormat::Array)).await;
}

#[tokio::test]
async fn a_primary_behind_sentinels_conforms() {
    let sentinels = SentinelSet::start(&[]);
    conforms(RedisConfig::from_url(&sentinels.url()).unwrap()).await;
}

#[tokio::test]
async fn a_cluster_conforms() {
    let cluster = RedisCluster::start(&[]);
    conforms(RedisConfig::from_url(&cluster.url()).unwrap()).await;
}

/// Each channel is then received from the node that owns its slot.
#[tokio::test]
async fn sharded_channels_of_a_cluster_conform() {
    let cluster = RedisCluster::start(&[]);
    conforms(RedisConfig::from_url(&cluster.url()).unwrap().compat(false)).await;
}

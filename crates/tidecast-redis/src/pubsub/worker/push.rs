//! Handles pushes, in the task that reads the socket.

use std::sync::atomic::Ordering;

use redis::{PushInfo, PushKind, Value};

use super::PubSubWorker;
use crate::{
    codec::ControlPayload, pubsub::context::BrokerContext, pubsub::subscriptions::PubSubName, supervise::FailPoint,
};

impl PubSubWorker {
    pub(super) fn on_push(&self, context: &BrokerContext, push: PushInfo) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        context.fail_points.trip(FailPoint::Push);
        let mut data = push.data.into_iter();
        match (push.kind, data.next(), data.next()) {
            (
                PushKind::Message | PushKind::SMessage,
                Some(Value::BulkString(name)),
                Some(Value::BulkString(payload)),
            ) => {
                if name == context.keys.control().as_bytes() {
                    self.on_control(context, &payload);
                } else if let Some(task) = context.subscriptions.on_message(&name, &payload) {
                    self.backfill(task);
                }
            }
            // By the pattern of the control channel.
            (PushKind::PMessage, _, Some(Value::BulkString(name))) => {
                if let Some(Value::BulkString(payload)) = data.next()
                    && name == context.keys.control().as_bytes()
                {
                    self.on_control(context, &payload);
                }
            }
            (PushKind::SUnsubscribe, Some(Value::BulkString(name)), _) => {
                let name: PubSubName = name.into();
                // Not requested if the channel is still in the table: its slot has moved.
                if context.subscriptions.contains(&name) {
                    self.work.lock().moved.push(name);
                    context.connected.send_modify(|_| {});
                }
            }
            _ => {}
        }
    }

    /// Handles what a node published on the control channel. A deleted channel is backfilled, which starts its log over.
    fn on_control(&self, context: &BrokerContext, payload: &[u8]) {
        match ControlPayload::decode(payload) {
            ControlPayload::Message(message) => {
                if let Some(deliveries) = context.subscriptions.deliveries() {
                    deliveries.control(message);
                }
            }
            ControlPayload::Deleted(name) => {
                if let Some(task) = context.subscriptions.request_backfill(&name.into()) {
                    self.backfill(task);
                }
            }
        }
    }
}

//! The contract of a broker, kept by the broker in memory: one test for each rule, so that a failure names it.

use std::sync::Arc;

use tidecast::{Hub, broker::MemoryBroker, conformance as rules};

use crate::{far::FarBroker, support::now};

macro_rules! kept {
    ($($rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $rule() {
                now(rules::$rule(Arc::new(MemoryBroker::new())));
            }
        )*
    };
}

kept! {
    is_ready,
    positions_grow_by_one,
    events_arrive_once_and_in_order,
    nothing_is_missed_once_subscribed,
    publishers_at_once_share_one_order,
    channels_are_apart,
    a_key_answers_as_the_first_time,
    a_key_counts_in_its_channel,
    a_key_used_twice_at_once_is_one_event,
    a_publisher_that_stalls_holds_up_no_other_channel,
    history_is_what_was_published,
    history_says_whether_it_is_complete,
    history_goes_on_page_by_page,
    a_resumed_subscription_continues,
    a_position_that_was_answered_resumes,
    forgetting_starts_over,
    forgetting_tells_its_readers,
    a_released_channel_loses_nothing,
}

#[test]
fn a_broker_of_several_nodes_keeps_every_rule() {
    now(rules::all(async || Arc::new(FarBroker::default())));
}

#[test]
fn the_broker_in_memory_keeps_every_rule() {
    now(rules::all(async || Arc::new(MemoryBroker::new())));
}

/// A broker that was given to two hubs delivered the second hub's events to the first.
#[test]
#[should_panic(expected = "a broker serves one hub")]
fn a_broker_serves_one_hub() {
    let broker = Arc::new(MemoryBroker::new());
    let _first = Hub::builder().broker(broker.clone()).build();
    let _second = Hub::builder().broker(broker).build();
}

//! Sends many calls at once: those for one node in batches, so that they run in their order.
//!
//! A call that does not succeed in its batch is retried alone, by the rules of `attempt`.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::{join, join_all};
use redis::Value;
use tokio::time::Instant;

use super::{
    attempt::{Attempts, await_reply},
    key_router::KeyRouter,
    node::RedisNode,
    request::CommandRequest,
};
use crate::{error::CallError, reply::ReplyOutcome};

/// The outcome of a call in its batch.
enum FirstOutcome {
    Final(Result<Value, CallError>),
    /// The call is to be retried alone.
    Retry {
        maybe_executed: bool,
        with_source: bool,
    },
}

/// Runs requests. The results are in their order.
pub(super) async fn run(
    router: &KeyRouter,
    requests: &[CommandRequest<'_>],
    deadline: Instant,
) -> Vec<Result<Value, CallError>> {
    let mut groups: Vec<(Arc<RedisNode>, Vec<usize>)> = Vec::new();
    let mut alone: Vec<usize> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let Ok(node) = router.node_of(request.key(), deadline).await else {
            alone.push(index);
            continue;
        };
        match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
            Some((_, group)) => group.push(index),
            None => groups.push((node, vec![index])),
        }
    }
    let groups = groups.into_iter().map(|(node, group)| run_group(router, node, group, requests, deadline));
    let alone = async {
        let mut answers = Vec::with_capacity(alone.len());
        for index in alone {
            answers.push((index, Attempts::new(router, &requests[index], deadline).run().await));
        }
        answers
    };
    let (groups, alone) = join(join_all(groups), alone).await;
    let mut answers: Vec<(usize, Result<Value, CallError>)> = groups.into_iter().flatten().chain(alone).collect();
    answers.sort_unstable_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn run_group(
    router: &KeyRouter,
    node: Arc<RedisNode>,
    group: Vec<usize>,
    requests: &[CommandRequest<'_>],
    deadline: Instant,
) -> Vec<(usize, Result<Value, CallError>)> {
    let mut answers = Vec::with_capacity(group.len());
    let mut lost: Option<String> = None;
    for batch in group.chunks(BATCH_MAX) {
        // A lost batch may have been executed or not. Ending is better than a hole in the middle.
        if let Some(reason) = &lost {
            answers.extend(batch.iter().map(|index| (*index, Err(CallError::unavailable(reason.clone())))));
            continue;
        }
        let batch_requests: Vec<&CommandRequest<'_>> = batch.iter().map(|index| &requests[*index]).collect();
        let outcomes = send_batch(&node, &batch_requests, deadline).await;
        for (index, first_outcome) in batch.iter().zip(outcomes) {
            let answer = match first_outcome {
                FirstOutcome::Final(answer) => answer,
                FirstOutcome::Retry { maybe_executed, with_source } => {
                    let attempts = Attempts::new(router, &requests[*index], deadline).after(maybe_executed);
                    let attempts = if with_source { attempts.with_source() } else { attempts };
                    attempts.run().await
                }
            };
            if let Err(CallError::Unavailable { reason, maybe_executed: true }) = &answer {
                lost.get_or_insert_with(|| reason.clone());
            }
            answers.push((*index, answer));
        }
    }
    answers
}

async fn send_batch(node: &Arc<RedisNode>, requests: &[&CommandRequest<'_>], deadline: Instant) -> Vec<FirstOutcome> {
    let retry = |maybe_executed| FirstOutcome::Retry { maybe_executed, with_source: false };
    // The attempts one by one detect again what is wrong with the connection, and handle it.
    let not_sent = || requests.iter().map(|_| retry(false)).collect();
    let Ok(_permit) = node.permits(requests.len(), deadline).await else { return not_sent() };
    let Ok(connection) = node.connection(deadline).await else { return not_sent() };

    let mut commands = redis::pipe();
    let mut named = HashSet::new();
    for request in requests {
        // The first call of each script has its source. Without it, one that is unknown would run after later ones.
        let with_source = request.script().is_some_and(|script| named.insert(script.sha()));
        commands.add_command(request.command(with_source));
    }
    let replies = connection.send_all(&commands, requests.len());
    match await_reply(node, &connection, deadline, replies).await {
        Ok(replies) if replies.len() == requests.len() => replies.into_iter().map(first_outcome).collect(),
        Ok(replies) => {
            node.drop_connection(&connection);
            let message = format!("{} replies to {} calls", replies.len(), requests.len());
            requests.iter().map(|_| FirstOutcome::Final(Err(CallError::Protocol(message.clone())))).collect()
        }
        Err(reason) => requests
            .iter()
            .map(|request| match request.repeatable() {
                true => retry(true),
                false => FirstOutcome::Final(Err(CallError::maybe_executed(reason.clone()))),
            })
            .collect(),
    }
}

fn first_outcome(reply: Value) -> FirstOutcome {
    match ReplyOutcome::from(reply) {
        outcome @ (ReplyOutcome::Value(_) | ReplyOutcome::Rejected(_) | ReplyOutcome::Unexpected(_)) => {
            FirstOutcome::Final(outcome.into_result())
        }
        outcome => FirstOutcome::Retry { maybe_executed: false, with_source: outcome == ReplyOutcome::NoScript },
    }
}

/// The most calls in one batch. All of them are in doubt if the connection is lost before their replies.
const BATCH_MAX: usize = 128;

//! Many calls at once: those for one node in one piece, so that they are run in their order.
//!
//! What does not come through at the first attempt goes on one by one, by the rules of `attempt`. Publishing an array
//! is what it is for.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::{join, join_all};
use redis::Value;
use tokio::time::Instant;

use super::{
    attempt::{Attempts, watched},
    node::Node,
    request::Request,
    router::Route,
};
use crate::{error::Failure, reply::Verdict};

/// What is known of a call after the piece that it was in.
enum First {
    Told(Result<Value, Failure>),
    /// It is to be tried alone.
    Again {
        maybe_done: bool,
        with_source: bool,
    },
}

/// The answers are in the order of the requests.
pub(super) async fn run(route: &Route, requests: &[Request<'_>], deadline: Instant) -> Vec<Result<Value, Failure>> {
    let mut groups: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
    let mut alone: Vec<usize> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let Ok(node) = route.node_of(request.key(), deadline).await else {
            alone.push(index);
            continue;
        };
        match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
            Some((_, group)) => group.push(index),
            None => groups.push((node, vec![index])),
        }
    }
    let groups = groups.into_iter().map(|(node, group)| run_group(route, node, group, requests, deadline));
    let alone = async {
        let mut answers = Vec::with_capacity(alone.len());
        for index in alone {
            answers.push((index, Attempts::new(route, &requests[index], deadline).run().await));
        }
        answers
    };
    let (groups, alone) = join(join_all(groups), alone).await;
    let mut answers: Vec<(usize, Result<Value, Failure>)> = groups.into_iter().flatten().chain(alone).collect();
    answers.sort_unstable_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn run_group(
    route: &Route,
    node: Arc<Node>,
    group: Vec<usize>,
    requests: &[Request<'_>],
    deadline: Instant,
) -> Vec<(usize, Result<Value, Failure>)> {
    let mut answers = Vec::with_capacity(group.len());
    let mut cut: Option<String> = None;
    for piece in group.chunks(PIECE_MAX) {
        // What was lost may have been done or not. Better an end than a hole in the middle.
        if let Some(reason) = &cut {
            answers.extend(piece.iter().map(|index| (*index, Err(Failure::not_done(reason.clone())))));
            continue;
        }
        let pieces: Vec<&Request<'_>> = piece.iter().map(|index| &requests[*index]).collect();
        let firsts = send_piece(&node, &pieces, deadline).await;
        for (index, first) in piece.iter().zip(firsts) {
            let answer = match first {
                First::Told(answer) => answer,
                First::Again { maybe_done, with_source } => {
                    let attempts = Attempts::new(route, &requests[*index], deadline).after(maybe_done);
                    let attempts = if with_source { attempts.with_source() } else { attempts };
                    attempts.run().await
                }
            };
            if let Err(Failure::Away { reason, maybe_done: true }) = &answer {
                cut.get_or_insert_with(|| reason.clone());
            }
            answers.push((*index, answer));
        }
    }
    answers
}

async fn send_piece(node: &Arc<Node>, requests: &[&Request<'_>], deadline: Instant) -> Vec<First> {
    let again = |maybe_done| First::Again { maybe_done, with_source: false };
    // Whatever is wrong with the connection, the attempts one by one find it out again and know what to do.
    let not_sent = || requests.iter().map(|_| again(false)).collect();
    let Ok(_permit) = node.permits(requests.len(), deadline).await else { return not_sent() };
    let Ok(connection) = node.connection(deadline).await else { return not_sent() };

    let mut commands = redis::pipe();
    let mut named = HashSet::new();
    for request in requests {
        // The first of each script brings its source, so that the others can't be refused for want of it: they would be
        // run after those that follow.
        let with_source = request.script().is_some_and(|script| named.insert(script.sha()));
        commands.add_command(request.command(with_source));
    }
    let replies = connection.send_all(&commands, requests.len());
    match watched(node, &connection, deadline, replies).await {
        Ok(replies) if replies.len() == requests.len() => replies.into_iter().map(first).collect(),
        Ok(replies) => {
            node.drop_connection(&connection);
            let words = format!("{} replies to {} calls", replies.len(), requests.len());
            requests.iter().map(|_| First::Told(Err(Failure::Broken(words.clone())))).collect()
        }
        Err(reason) => requests
            .iter()
            .map(|request| match request.repeatable() {
                true => again(true),
                false => First::Told(Err(Failure::maybe_done(reason.clone()))),
            })
            .collect(),
    }
}

fn first(reply: Value) -> First {
    match Verdict::from(reply) {
        Verdict::Done(value) => First::Told(Ok(value)),
        Verdict::Refused(words) => First::Told(Err(Failure::Refused(words))),
        Verdict::Broken(words) => First::Told(Err(Failure::Broken(words))),
        Verdict::UnknownScript => First::Again { maybe_done: false, with_source: true },
        Verdict::Moved { .. } | Verdict::Ask { .. } | Verdict::Later(_) | Verdict::Demoted(_) => {
            First::Again { maybe_done: false, with_source: false }
        }
    }
}

/// How many calls go out in one piece. All of them are in doubt where the connection is lost before the replies are in.
const PIECE_MAX: usize = 128;

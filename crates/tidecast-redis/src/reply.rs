//! What a reply says about the call: done, not done and worth another try, or refused.
//!
//! A pure reading of replies. The point of it is to know for certain which errors prove that nothing was executed;
//! `commands` acts on it.

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::{error::Failure, socket::Address};

/// See the module. All but the first prove that the call was not executed.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Done(Value),
    /// Send the script's source.
    UnknownScript,
    /// The slot lives there; the text is as in the reply.
    Moved {
        slot: u16,
        node: String,
    },
    /// This one key, this one time, is there.
    Ask {
        node: String,
    },
    /// The node can't just now.
    Later(String),
    /// The node is a replica: connect anew.
    Demoted(String),
    Refused(String),
    Broken(String),
}

impl From<Value> for Verdict {
    fn from(reply: Value) -> Self {
        let error = match reply {
            Value::ServerError(error) => error,
            reply => return Self::Done(reply),
        };
        let words = words(&error);
        // Redis 6 wraps what a script's command was answered: "ERR Error running script (…): -OOM command not …".
        let code = match error.code() {
            "ERR" => words.split_once("Error running script").and_then(|(_, inner)| inner_code(inner)).unwrap_or("ERR"),
            code => code,
        };
        match code {
            "NOSCRIPT" => Self::UnknownScript,
            "MOVED" | "ASK" => match redirection(&error) {
                Some((slot, node)) if code == "MOVED" => Self::Moved { slot, node },
                Some((_, node)) => Self::Ask { node },
                None => Self::Broken(words),
            },
            "BUSY" | "CLUSTERDOWN" | "LOADING" | "TRYAGAIN" => Self::Later(words),
            "MASTERDOWN" | "READONLY" => Self::Demoted(words),
            "MISCONF" | "NOAUTH" | "NOPERM" | "NOREPLICAS" | "OOM" | "WRONGPASS" => Self::Refused(words),
            _ => Self::Broken(words),
        }
    }
}

/// What a server says, in its own words, with its code.
pub(crate) fn words(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// Why a server would not have us.
pub(crate) fn refused_login(address: &Address, error: &RedisError) -> Failure {
    if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) {
        return Failure::not_done(format!("{address}: {error}"));
    }
    match ServerError::try_from(error.clone()) {
        Ok(server_error) => match Verdict::from(Value::ServerError(server_error.clone())) {
            Verdict::Later(words) | Verdict::Demoted(words) => Failure::not_done(words),
            // There is no code of its own for it, and it passes.
            _ if words(&server_error).contains("max number of clients") => Failure::not_done(words(&server_error)),
            _ => Failure::Refused(words(&server_error)),
        },
        Err(error) => Failure::Refused(error.detail().map_or_else(|| error.to_string(), ToOwned::to_owned)),
    }
}

/// The text of a reply that has one.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The code after the last `-` that a word in capitals follows.
fn inner_code(text: &str) -> Option<&str> {
    let words = text.rsplit(" -").filter_map(|tail| tail.split(' ').next());
    words.into_iter().find(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// `3999 127.0.0.1:6381`
fn redirection(error: &ServerError) -> Option<(u16, String)> {
    let (slot, node) = error.details()?.split_once(' ')?;
    Some((slot.parse().ok()?, node.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reply: &str) -> Verdict {
        Verdict::from(redis::parse_redis_value(format!("{reply}\r\n").as_bytes()).expect("a reply"))
    }

    #[test]
    fn what_redis_7_says_is_understood() {
        assert_eq!(verdict(":7"), Verdict::Done(Value::Int(7)));
        assert_eq!(verdict("-NOSCRIPT No matching script. Please use EVAL."), Verdict::UnknownScript);
        assert_eq!(verdict("-MOVED 3999 127.0.0.1:6381"), Verdict::Moved { slot: 3999, node: "127.0.0.1:6381".into() });
        assert_eq!(verdict("-MOVED 1 :6381"), Verdict::Moved { slot: 1, node: ":6381".into() });
        assert_eq!(verdict("-ASK 3999 ::1:6381"), Verdict::Ask { node: "::1:6381".into() });
        assert!(matches!(verdict("-MOVED"), Verdict::Broken(_)));
        for reply in
            ["-LOADING Redis is loading", "-TRYAGAIN Multiple", "-CLUSTERDOWN Hash slot", "-BUSY Redis is busy"]
        {
            assert_eq!(verdict(reply), Verdict::Later(reply[1..].to_owned()));
        }
        for reply in
            ["-READONLY You can't write against a read only replica. script: 0a, on @user_script:1.", "-MASTERDOWN L"]
        {
            assert_eq!(verdict(reply), Verdict::Demoted(reply[1..].to_owned()));
        }
        for reply in
            ["-OOM command not allowed", "-MISCONF Redis is", "-NOPERM No permissions", "-NOREPLICAS Not enough"]
        {
            assert_eq!(verdict(reply), Verdict::Refused(reply[1..].to_owned()));
        }
        assert_eq!(verdict("-WRONGTYPE Operation against"), Verdict::Broken("WRONGTYPE Operation against".to_owned()));
    }

    #[test]
    fn what_redis_6_says_of_a_script_is_understood() {
        let wrapped = |inner: &str| {
            verdict(&format!("-ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: {inner}"))
        };
        assert!(matches!(wrapped("-READONLY You can't write against a read only replica."), Verdict::Demoted(_)));
        assert!(matches!(wrapped("-OOM command not allowed when used memory > 'maxmemory'."), Verdict::Refused(_)));
        assert!(matches!(wrapped("Script attempted to access nonexistent global variable 'x'"), Verdict::Broken(_)));
        assert!(matches!(verdict("-ERR something -OOM"), Verdict::Broken(_)));
    }
}

//! Classifies replies: executed, not executed and worth a retry, or rejected.
//!
//! It knows for certain which errors prove that a call was not executed.

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::{address::Address, error::CallError};

/// The outcome that a reply reports. All but the first prove that the call was not executed.
#[derive(Debug, PartialEq)]
pub(crate) enum ReplyOutcome {
    Value(Value),
    /// The server does not know the script.
    NoScript,
    /// The slot is at that node, given as in the reply.
    Moved {
        slot: u16,
        node: String,
    },
    /// For this call only, the key is at that node.
    Ask {
        node: String,
    },
    /// The node cannot serve the call now.
    Unavailable(String),
    /// The node is a replica.
    NotPrimary(String),
    Rejected(String),
    Unexpected(String),
}

impl From<Value> for ReplyOutcome {
    fn from(reply: Value) -> Self {
        let error = match reply {
            Value::ServerError(error) => error,
            reply => return Self::Value(reply),
        };
        let message = message(&error);
        // Redis 6 wraps the error of a script's command: "ERR Error running script (…): -OOM command not …".
        let code = match error.code() {
            "ERR" => {
                message.split_once("Error running script").and_then(|(_, inner)| inner_code(inner)).unwrap_or("ERR")
            }
            code => code,
        };
        match code {
            "NOSCRIPT" => Self::NoScript,
            "MOVED" | "ASK" => match redirection(&error) {
                Some((slot, node)) if code == "MOVED" => Self::Moved { slot, node },
                Some((_, node)) => Self::Ask { node },
                None => Self::Unexpected(message),
            },
            "BUSY" | "CLUSTERDOWN" | "LOADING" | "TRYAGAIN" => Self::Unavailable(message),
            "MASTERDOWN" | "READONLY" => Self::NotPrimary(message),
            "MISCONF" | "NOAUTH" | "NOPERM" | "NOREPLICAS" | "OOM" | "WRONGPASS" => Self::Rejected(message),
            _ => Self::Unexpected(message),
        }
    }
}

impl ReplyOutcome {
    /// Returns the value, or the error of a call that is not retried.
    pub(crate) fn into_result(self) -> Result<Value, CallError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Unavailable(message) | Self::NotPrimary(message) => Err(CallError::unavailable(message)),
            Self::Moved { slot, node } => Err(CallError::unavailable(format!("slot {slot} has moved to {node}"))),
            Self::Ask { node } => Err(CallError::unavailable(format!("a slot moves to {node}"))),
            Self::Rejected(message) => Err(CallError::Rejected(message)),
            Self::Unexpected(message) => Err(CallError::Protocol(message)),
            Self::NoScript => Err(CallError::Protocol("NOSCRIPT after the script was sent".to_owned())),
        }
    }
}

/// Returns the code and text of a server's error.
pub(crate) fn message(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// Converts the error of a handshake.
pub(crate) fn login_error(address: &Address, error: &RedisError) -> CallError {
    if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) {
        return CallError::at(address, error);
    }
    match ServerError::try_from(error.clone()) {
        Ok(error) => match ReplyOutcome::from(Value::ServerError(error.clone())).into_result() {
            Err(unavailable @ CallError::Unavailable { .. }) => unavailable,
            // This one is temporary, but has no code of its own.
            _ if message(&error).contains("max number of clients") => CallError::unavailable(message(&error)),
            _ => CallError::Rejected(message(&error)),
        },
        Err(error) => CallError::Rejected(error.detail().map_or_else(|| error.to_string(), ToOwned::to_owned)),
    }
}

/// Returns the text of a reply, if it has one.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// Returns the role in a reply to `ROLE`: `master`, `slave` or `sentinel`.
pub(crate) fn role(reply: &Value) -> Option<String> {
    match reply {
        Value::Array(items) => items.first().and_then(text),
        _ => None,
    }
}

/// Returns the last word in capitals that follows a ` -`.
fn inner_code(text: &str) -> Option<&str> {
    let message = text.rsplit(" -").filter_map(|tail| tail.split(' ').next());
    message.into_iter().find(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// Parses a redirection such as `3999 127.0.0.1:6381`.
fn redirection(error: &ServerError) -> Option<(u16, String)> {
    let (slot, node) = error.details()?.split_once(' ')?;
    Some((slot.parse().ok()?, node.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(reply: &str) -> ReplyOutcome {
        ReplyOutcome::from(redis::parse_redis_value(format!("{reply}\r\n").as_bytes()).expect("a reply"))
    }

    #[test]
    fn errors_of_redis_7_are_classified() {
        assert_eq!(outcome(":7"), ReplyOutcome::Value(Value::Int(7)));
        assert_eq!(outcome("-NOSCRIPT No matching script. Please use EVAL."), ReplyOutcome::NoScript);
        assert_eq!(
            outcome("-MOVED 3999 127.0.0.1:6381"),
            ReplyOutcome::Moved { slot: 3999, node: "127.0.0.1:6381".into() }
        );
        assert_eq!(outcome("-MOVED 1 :6381"), ReplyOutcome::Moved { slot: 1, node: ":6381".into() });
        assert_eq!(outcome("-ASK 3999 ::1:6381"), ReplyOutcome::Ask { node: "::1:6381".into() });
        assert!(matches!(outcome("-MOVED"), ReplyOutcome::Unexpected(_)));
        for reply in
            ["-LOADING Redis is loading", "-TRYAGAIN Multiple", "-CLUSTERDOWN Hash slot", "-BUSY Redis is busy"]
        {
            assert_eq!(outcome(reply), ReplyOutcome::Unavailable(reply[1..].to_owned()));
        }
        for reply in
            ["-READONLY You can't write against a read only replica. script: 0a, on @user_script:1.", "-MASTERDOWN L"]
        {
            assert_eq!(outcome(reply), ReplyOutcome::NotPrimary(reply[1..].to_owned()));
        }
        for reply in
            ["-OOM command not allowed", "-MISCONF Redis is", "-NOPERM No permissions", "-NOREPLICAS Not enough"]
        {
            assert_eq!(outcome(reply), ReplyOutcome::Rejected(reply[1..].to_owned()));
        }
        assert_eq!(
            outcome("-WRONGTYPE Operation against"),
            ReplyOutcome::Unexpected("WRONGTYPE Operation against".to_owned())
        );
    }

    #[test]
    fn errors_of_a_script_on_redis_6_are_classified() {
        let wrapped = |inner: &str| {
            outcome(&format!("-ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: {inner}"))
        };
        assert!(matches!(
            wrapped("-READONLY You can't write against a read only replica."),
            ReplyOutcome::NotPrimary(_)
        ));
        assert!(matches!(
            wrapped("-OOM command not allowed when used memory > 'maxmemory'."),
            ReplyOutcome::Rejected(_)
        ));
        assert!(matches!(
            wrapped("Script attempted to access nonexistent global variable 'x'"),
            ReplyOutcome::Unexpected(_)
        ));
        assert!(matches!(outcome("-ERR something -OOM"), ReplyOutcome::Unexpected(_)));
    }
}

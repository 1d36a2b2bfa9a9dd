//! Tickets: signed tokens that let their bearer open streams of some channels until they expire.
//!
//! A ticket is a JSON Web Token (RFC 7519), which libraries of every language can sign. The signing key is derived from the
//! ticket key, or from the publish key if there is none, so a token that was signed with that key for another purpose is not
//! a ticket. The only algorithm is HS256; a header that names another one is refused. Four claims count: `use`, `subscribe`,
//! `exp` and `cors`.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::hmac;
use serde::{Deserialize, Serialize};
use tidecast::Channel;

use crate::limits::TICKET_BYTES_MAX;

/// The key that signs and checks tickets.
pub(crate) struct TicketKey {
    key: hmac::Key,
    /// The `kid` in a ticket's header. It tells a ticket of another hub from one that was changed.
    id: String,
}

/// A valid ticket.
#[derive(Debug)]
pub(crate) struct Ticket {
    subscribe: Vec<String>,
    /// Whether the page itself sent it, and not a proxy on behalf of its clients (the claim `cors`).
    pub(crate) is_from_page: bool,
}

/// Why a ticket is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TicketError {
    TooLong,
    Malformed,
    OtherAlgorithm,
    NoKeyId,
    OtherKey,
    WrongSignature,
    OtherUse,
    WrongClaims,
    Expired,
}

impl TicketKey {
    /// Derives the key from a secret: the ticket key or the publish key.
    pub(crate) fn derive(secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, b"tidecast ticket 1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let id = hmac::sign(&key, b"kid").as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { key, id }
    }

    /// Signs a ticket for channels. `expires_at` is in seconds since 1970.
    pub(crate) fn sign(&self, channels: &[Channel], expires_at: u64) -> String {
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{}"}}"#, self.id);
        let subscribe = channels.iter().map(Channel::as_str).collect();
        let claims = OwnClaims { purpose: USE, subscribe, exp: expires_at };
        // Writing strings and a number to memory does not fail.
        let claims = serde_json::to_string(&claims).unwrap_or_default();
        self.sign_parts(header.as_bytes(), claims.as_bytes())
    }

    /// Signs any header and claims.
    pub(crate) fn sign_parts(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// Parses and checks a ticket. There is no leeway for clocks that differ.
    pub(crate) fn open(&self, text: &[u8], now: SystemTime) -> Result<Ticket, TicketError> {
        if text.len() > TICKET_BYTES_MAX {
            return Err(TicketError::TooLong);
        }
        let dots: Vec<usize> = text.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at).collect();
        let [first, second] = dots[..] else { return Err(TicketError::Malformed) };
        let decode = |part: &[u8]| BASE64.decode(part).map_err(|_| TicketError::Malformed);
        let header = decode(&text[..first])?;
        let claims = decode(&text[first + 1..second])?;
        let signature = decode(&text[second + 1..])?;

        let header: Header = serde_json::from_slice(&header).map_err(|_| TicketError::Malformed)?;
        // No critical extension is supported, and an unsupported one must be refused.
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(TicketError::OtherAlgorithm);
        }
        match header.kid {
            None => return Err(TicketError::NoKeyId),
            Some(id) if id != self.id => return Err(TicketError::OtherKey),
            Some(_) => {}
        }
        // In constant time.
        hmac::verify(&self.key, &text[..second], &signature).map_err(|_| TicketError::WrongSignature)?;

        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TicketError::WrongClaims)?;
        if claims.purpose.as_deref() != Some(USE) {
            return Err(TicketError::OtherUse);
        }
        let (Some(subscribe), Some(expires_at)) = (claims.subscribe, claims.exp) else {
            return Err(TicketError::WrongClaims);
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if expires_at > now.as_secs_f64() {
            Ok(Ticket { subscribe, is_from_page: claims.cors })
        } else {
            Err(TicketError::Expired)
        }
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKey({})", self.id)
    }
}

impl Ticket {
    /// Returns whether the ticket is for a channel.
    pub(crate) fn opens(&self, channel: &Channel) -> bool {
        self.subscribe.iter().any(|name| name == channel.as_str())
    }
}

/// Describes the error and the remedy, without any part of the ticket.
impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the ticket is longer than 32 KiB: sign one for fewer channels",
            Self::Malformed => {
                "the ticket is not a JSON Web Token: it must be three parts in base64url without padding, separated by dots"
            }
            Self::OtherAlgorithm => "the ticket must be signed by HS256, with `\"alg\":\"HS256\"` in its header",
            Self::NoKeyId => "the ticket's header must name its key in `kid`",
            Self::OtherKey => {
                "the ticket was signed for another hub or with an earlier key: sign tickets with this hub's ticket key, or with \
                 its publish key if it has none"
            }
            Self::WrongSignature => "the ticket's signature is wrong: the ticket was changed, or signed with another key",
            Self::OtherUse => "the token is not a ticket: its claim `use` must be `ticket`",
            Self::WrongClaims => {
                "the ticket must have `subscribe`, an array of channels, and `exp`, a number of seconds since 1970"
            }
            Self::Expired => "the ticket has expired: get a new one from the application",
        })
    }
}

/// The claim `use` of a ticket.
const USE: &str = "ticket";

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "use")]
    purpose: Option<String>,
    subscribe: Option<Vec<String>>,
    /// Seconds since 1970, with a fraction if need be (RFC 7519).
    exp: Option<f64>,
    #[serde(default = "yes")]
    cors: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
struct OwnClaims<'a> {
    #[serde(rename = "use")]
    purpose: &'a str,
    subscribe: Vec<&'a str>,
    exp: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const PUBLISH_KEY: &[u8] = b"s3cret!";

    /// A ticket for `news` and `météo`, valid until the beginning of 2100. Made by Python: `K` is
    /// `hmac.new(b"s3cret!", b"tidecast ticket 1", "sha256").digest()`, `kid` is
    /// `hmac.new(K, b"kid", "sha256").hexdigest()[:16]`, and the last part is base64url of
    /// `hmac.new(K, b"the first two parts", "sha256").digest()`.
    const OF_PYTHON: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImY2MmI4MmMyYzc4ODRlZmYifQ.\
        eyJ1c2UiOiJ0aWNrZXQiLCJzdWJzY3JpYmUiOlsibmV3cyIsIm1cdTAwZTl0XHUwMGU5byJdLCJleHAiOjQxMDI0NDQ4MDF9.\
        znqQhycBJXGUlyOs6U1eRAINJnC33gDjXwfmcrPmojw";

    const EXPIRES_AT: u64 = 4_102_444_801;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key() -> TicketKey {
        TicketKey::derive(PUBLISH_KEY)
    }

    /// Returns a token with a valid signature.
    fn signed(header: &str, claims: &str) -> String {
        key().sign_parts(header.as_bytes(), claims.as_bytes())
    }

    fn refused(header: &str, claims: &str) -> TicketError {
        key().open(signed(header, claims).as_bytes(), at(1_000)).expect_err(claims)
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"f62b82c2c7884eff"}"#;
    const CLAIMS: &str = r#"{"use":"ticket","subscribe":["a"],"exp":2000}"#;

    #[test]
    fn a_ticket_of_another_program_is_accepted() {
        assert_eq!(key().id, "f62b82c2c7884eff");
        let ticket = key().open(OF_PYTHON.as_bytes(), at(EXPIRES_AT - 1)).unwrap();
        for (name, opens) in [("news", true), ("météo", true), ("sse", false), ("new", false), ("News", false)] {
            assert_eq!(ticket.opens(&Channel::new(name).unwrap()), opens, "{name}");
        }
        // A ticket of ours has the same bytes.
        let channels = ["news", "weather"].map(|name| Channel::new(name).unwrap());
        let of_python = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImY2MmI4MmMyYzc4ODRlZmYifQ.\
            eyJ1c2UiOiJ0aWNrZXQiLCJzdWJzY3JpYmUiOlsibmV3cyIsIndlYXRoZXIiXSwiZXhwIjo0MTAyNDQ0ODAxfQ.\
            JdzcUqoZb02v8UPgVgCWKhwFXAsxUta-rpbGkyeAhjs";
        assert_eq!(key().sign(&channels, EXPIRES_AT), of_python);
    }

    #[test]
    fn a_ticket_expires_at_its_second() {
        let open = |claims: &str, now| key().open(signed(HEADER, claims).as_bytes(), at(now)).map(drop);
        assert_eq!(open(CLAIMS, 1_999), Ok(()));
        assert_eq!(open(CLAIMS, 2_000), Err(TicketError::Expired));
        let halves = CLAIMS.replace("2000", "2000.5");
        assert_eq!(open(&halves, 2_000), Ok(()));
        assert_eq!(open(&halves, 2_001), Err(TicketError::Expired));
        for past in ["0", "-1", "1e3", "999.99"] {
            assert_eq!(refused(HEADER, &CLAIMS.replace("2000", past)), TicketError::Expired, "{past}");
        }
    }

    #[test]
    fn only_the_one_algorithm_and_key_are_accepted() {
        for (alg, is) in [
            ("none", TicketError::OtherAlgorithm),
            ("None", TicketError::OtherAlgorithm),
            ("RS256", TicketError::OtherAlgorithm),
            ("HS512", TicketError::OtherAlgorithm),
            ("hs256", TicketError::OtherAlgorithm),
            ("", TicketError::OtherAlgorithm),
        ] {
            assert_eq!(refused(&HEADER.replace("HS256", alg), CLAIMS), is, "{alg}");
        }
        let unsigned = format!("{}.{}.", BASE64.encode(HEADER.replace("HS256", "none")), BASE64.encode(CLAIMS));
        assert_eq!(key().open(unsigned.as_bytes(), at(1)).unwrap_err(), TicketError::OtherAlgorithm);
        let unsigned = format!("{}.{}.", BASE64.encode(HEADER), BASE64.encode(CLAIMS));
        assert_eq!(key().open(unsigned.as_bytes(), at(1)).unwrap_err(), TicketError::WrongSignature);
        assert_eq!(refused(&HEADER.replace('}', r#","crit":["exp"]}"#), CLAIMS), TicketError::OtherAlgorithm);
        assert_eq!(refused(&HEADER.replace("f62b", "062b"), CLAIMS), TicketError::OtherKey);
        assert_eq!(refused(r#"{"alg":"HS256"}"#, CLAIMS), TicketError::NoKeyId);
        for header in [r#"{"alg":"none","alg":"HS256","kid":"f62b82c2c7884eff"}"#, r#"{"alg":1}"#, "{}", "[]", "", "x"]
        {
            assert_eq!(refused(header, CLAIMS), TicketError::Malformed, "{header}");
        }
        // Other members are ignored.
        let more = HEADER.replace('}', r#","cty":"x","jku":"http://evil.example","jwk":{}}"#);
        assert!(key().open(signed(&more, CLAIMS).as_bytes(), at(1)).is_ok());
    }

    #[test]
    fn the_claims_are_required_and_typed() {
        for claims in [r#"{"subscribe":["a"],"exp":2000}"#, r#"{"use":"publish","subscribe":["a"],"exp":2000}"#] {
            assert_eq!(refused(HEADER, claims), TicketError::OtherUse, "{claims}");
        }
        for claims in [
            r#"{"use":"ticket","subscribe":["a"]}"#,
            r#"{"use":"ticket","exp":2000}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":null}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":"2000"}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":[2000]}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":1e999}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":1,"exp":2000}"#,
            r#"{"use":"ticket","subscribe":"a","exp":2000}"#,
            r#"{"use":"ticket","subscribe":[1],"exp":2000}"#,
            r#"{"use":["ticket"],"subscribe":["a"],"exp":2000}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":2000} {}"#,
            r#"{"use":"ticket","subscribe":["a"],"exp":2000,"cors":"no"}"#,
            "null",
            "",
        ] {
            assert_eq!(refused(HEADER, claims), TicketError::WrongClaims, "{claims}");
        }
        let more = CLAIMS.replace('}', r#","iat":"yesterday","sub":7,"nbf":5000}"#);
        assert!(key().open(signed(HEADER, &more).as_bytes(), at(1)).is_ok());
        // A ticket for no channel is valid, and opens none.
        let none = CLAIMS.replace(r#""a""#, "");
        let ticket = key().open(signed(HEADER, &none).as_bytes(), at(1)).unwrap();
        assert!(!ticket.opens(&Channel::default()));
    }

    #[test]
    fn malformed_and_overlong_tokens_are_refused() {
        for text in ["", ".", "..", "...", "a.b", "a.b.c.d", "?.?.?", "s3cret!", " ", "e30=.e30=.e30="] {
            assert_eq!(key().open(text.as_bytes(), at(1)).unwrap_err(), TicketError::Malformed, "{text:?}");
        }
        assert_eq!(key().open(&[0xff; 100], at(1)).unwrap_err(), TicketError::Malformed);
        let names: Vec<_> = (0..64).map(|n| Channel::new(&format!("{n:02}{}", "x".repeat(253))).unwrap()).collect();
        let longest = key().sign(&names, 2_000);
        assert!(names.iter().all(|name| key().open(longest.as_bytes(), at(1)).unwrap().opens(name)));
        let padded = |len: usize| signed(HEADER, &CLAIMS.replace("\"a\"", &format!("\"{}\"", "a".repeat(len))));
        assert_eq!(key().open(padded(TICKET_BYTES_MAX).as_bytes(), at(1)).unwrap_err(), TicketError::TooLong);
        assert!(key().open(padded(TICKET_BYTES_MAX / 2).as_bytes(), at(1)).is_ok());
    }

    #[test]
    fn debug_shows_only_the_id_of_a_key() {
        assert_eq!(format!("{:?}", key()), "TicketKey(f62b82c2c7884eff)");
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_refused(at_share in 0.0..1.0, byte in any::<u8>()) {
            let mut text = OF_PYTHON.as_bytes().to_vec();
            let at_byte = (text.len() as f64 * at_share) as usize;
            prop_assume!(text[at_byte] != byte);
            text[at_byte] = byte;
            prop_assert!(key().open(&text, at(1)).is_err());
        }

        #[test]
        fn truncated_and_random_tokens_are_refused(text in any::<Vec<u8>>(), cut in 0..OF_PYTHON.len()) {
            prop_assert!(key().open(&text, at(1)).is_err());
            prop_assert!(key().open(&OF_PYTHON.as_bytes()[..cut], at(1)).is_err());
        }

        #[test]
        fn only_the_signing_key_opens_a_ticket(other in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assume!(other != PUBLISH_KEY);
            prop_assert!(TicketKey::derive(&other).open(OF_PYTHON.as_bytes(), at(1)).is_err());
        }
    }
}

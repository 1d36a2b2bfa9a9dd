//! The primary of each slot of a Cluster, and the addresses in a Cluster's replies.

use redis::Value;

use crate::{address::Address, reply};

/// The number of slots of a Cluster.
const SLOTS: u16 = 16_384;

/// The primary of each slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlotMap {
    primaries: Vec<Address>,
    /// An index into `primaries` for each slot. Empty before the first fetch.
    owners: Vec<Option<u16>>,
}

impl SlotMap {
    /// Parses the reply to `CLUSTER SLOTS`: for each range its first and last slot, its primary, and its replicas.
    pub(super) fn parse(reply: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut map = Self::default();
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else {
                return None;
            };
            let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            // A node that does not know its own host sends nothing or `?`. It is the one that was asked.
            let host = reply::text(host).filter(|host| !host.is_empty() && host != "?");
            let address = address_beside(asked, host, u16::try_from(*port).ok()?);
            for slot in first..=last {
                map.assign(slot, &address);
            }
        }
        (!map.primaries.is_empty()).then_some(map)
    }

    pub(crate) fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    /// Returns whether every slot has a primary.
    pub(crate) fn is_complete(&self) -> bool {
        !self.owners.is_empty() && self.owners.iter().all(Option::is_some)
    }

    pub(crate) fn primary_of(&self, slot: u16) -> Option<&Address> {
        self.primaries.get(usize::from(*self.owners.get(usize::from(slot))?.as_ref()?))
    }

    pub(super) fn assign(&mut self, slot: u16, primary: &Address) {
        if slot >= SLOTS {
            return;
        }
        self.owners.resize(usize::from(SLOTS), None);
        let index = self.primaries.iter().position(|known| known == primary).unwrap_or_else(|| {
            self.primaries.push(primary.clone());
            self.primaries.len() - 1
        });
        // There are no more primaries than slots, so this does not fail.
        self.owners[usize::from(slot)] = u16::try_from(index).ok();
    }
}

/// Returns the slot of a key: the hash of the text between its first `{` and the next `}`, or if that is empty, of the
/// whole key.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

/// Parses the address in a redirection, `host:port`. Without a host, it is that of the node that sent it.
pub(crate) fn parse_redirection(text: &str, sender: &Address) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = (!host.is_empty() && host != "?").then(|| host.to_owned());
    Some(address_beside(sender, host, port.parse().ok()?))
}

fn address_beside(asked: &Address, host: Option<String>, port: u16) -> Address {
    let host = host.unwrap_or_else(|| match asked {
        Address::Tcp { host, .. } => host.clone(),
        Address::Unix(_) => "localhost".to_owned(),
    });
    Address::Tcp { host, port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    /// The numbers are from Redis' documentation and another implementation of the checksum.
    #[test]
    fn slots_are_those_of_redis() {
        for (key, expected) in [("foo", 12182), ("{user1000}.following", 3443), ("a{}b", 13694)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_ne!(slot(b"a{b"), slot(b"b"));
    }

    #[test]
    fn a_map_is_parsed_and_updated() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, host: Value, port| {
            let primary = Value::Array(vec![host, Value::Int(port), text("id")]);
            let replica = Value::Array(vec![text("replica"), Value::Int(9), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
        };
        let reply = Value::Array(vec![
            range(0, 99, text("a"), 1),
            range(200, 300, text(""), 2),
            range(100, 100, Value::Nil, 2),
        ]);
        let mut map = SlotMap::parse(&reply, &tcp("asked", 7)).expect("a map");
        assert_eq!(map.primaries(), [tcp("a", 1), tcp("asked", 2)]);
        assert_eq!(map.primary_of(99), Some(&tcp("a", 1)));
        assert_eq!(map.primary_of(100), Some(&tcp("asked", 2)));
        assert_eq!(map.primary_of(101), None);
        assert_eq!(map.primary_of(16_383), None);
        map.assign(99, &tcp("b", 3));
        assert_eq!(map.primary_of(99), Some(&tcp("b", 3)));

        assert_eq!(SlotMap::parse(&Value::Array(vec![]), &tcp("asked", 7)), None);
        assert_eq!(SlotMap::parse(&Value::Array(vec![range(0, 70_000, text("a"), 1)]), &tcp("asked", 7)), None);
        assert_eq!(SlotMap::default().primary_of(0), None);
    }

    #[test]
    fn a_redirection_is_parsed() {
        let sender = tcp("h", 1);
        assert_eq!(parse_redirection("127.0.0.1:6381", &sender), Some(tcp("127.0.0.1", 6381)));
        assert_eq!(parse_redirection("::1:6381", &sender), Some(tcp("::1", 6381)));
        assert_eq!(parse_redirection("[::1]:6381", &sender), Some(tcp("::1", 6381)));
        assert_eq!(parse_redirection(":6381", &sender), Some(tcp("h", 6381)));
        assert_eq!(parse_redirection("?:6381", &sender), Some(tcp("h", 6381)));
        assert_eq!(parse_redirection("h:99999", &sender), None);
    }
}

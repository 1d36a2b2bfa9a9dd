//! A server that rejects writes: nothing is partly done, and its error is passed on.

use std::fs;

use tidecast_test::{free_port, wait_until};

use super::*;

/// All commands that the broker needs. `docs/redis.md` lists them for operators.
const COMMANDS: &str = "+evalsha +eval +info +time +hmget +hget +hset +hexists +get +set +del +pexpire +xadd +xtrim \
                        +xrange +xrevrange +publish +spublish";

/// Returns the text of the server's error.
fn code(error: &redis::RedisError) -> String {
    format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
}

fn check_rejected(rig: &mut ScriptRig, reason: &str) {
    let before = rig.everything();
    for key in [None, Some("key")] {
        let error = rig.try_publish(&Event::text("x"), key, "").unwrap_err();
        assert!(code(&error).contains(reason), "{error}");
    }
    assert_eq!(rig.everything(), before);
    let channel = rig.channel.clone();
    rig.use_channel("never seen");
    let error = rig.try_publish(&Event::text("x"), None, "").unwrap_err();
    assert!(code(&error).contains(reason), "{error}");
    assert_eq!(rig.everything()[0], before[0]);
    rig.use_channel(channel.as_str());
}

#[test]
fn out_of_memory_nothing_is_partly_done() {
    let mut rig = ScriptRig::new();
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let first = rig.publish("1");
    rig.command(&["CONFIG", "SET", "maxmemory", "1"]);
    check_rejected(&mut rig, "OOM");
    // The first write differs if another server wrote last, and without a history.
    let meta = rig.keys.meta.clone();
    let server = rig.text(&["HGET", &meta, "r"]);
    rig.command(&["CONFIG", "SET", "maxmemory", "0"]);
    rig.command(&["HSET", &meta, "r", "another"]);
    rig.command(&["CONFIG", "SET", "maxmemory", "1"]);
    check_rejected(&mut rig, "OOM");
    rig.retention.events_max = 0;
    check_rejected(&mut rig, "OOM");
    rig.retention.events_max = 100;

    // Reading and deleting still work.
    assert_eq!(offsets(&rig.read(Some(0))), [1]);
    assert_eq!(rig.head(), Some(first));
    rig.command(&["CONFIG", "SET", "maxmemory", "0"]);
    rig.command(&["HSET", &meta, "r", &server]);
    assert_eq!(rig.publish("2"), Position { offset: 2, ..first });
    assert_eq!(subscriber.next_native().1.data(), "1");
    assert_eq!(subscriber.next_native().1.data(), "2");
    rig.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(rig.forget().is_some());
    assert!(rig.read(None).events.is_empty());
}

#[test]
fn a_server_that_cannot_save_can_be_read() {
    // The file that it would save to is a folder.
    let mut rig = ScriptRig::on(RedisServer::start(&["--save", "3600 1", "--dbfilename", "folder"]));
    rig.publish("1");
    fs::create_dir(rig.server.folder().join("folder")).unwrap();
    rig.command(&["BGSAVE"]);
    assert!(wait_until(|| rig.text(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err")));
    check_rejected(&mut rig, "MISCONF");
    assert_eq!(offsets(&rig.read(Some(0))), [1]);
}

#[test]
fn a_replica_can_be_read() {
    let mut rig = ScriptRig::new();
    rig.publish("1");
    // Its primary cannot be reached, so it keeps what it has.
    let nowhere = free_port().to_string();
    rig.command(&["REPLICAOF", "127.0.0.1", &nowhere]);
    check_rejected(&mut rig, "READONLY");
    assert_eq!(offsets(&rig.read(Some(0))), [1]);
    let names = Keys::new("tidecast", 0);
    let call = Forget { keys: &rig.keys, idle_age_max: DAY, control: names.control(), message: b"" }.call();
    let error = run(&mut rig.connection, &call).unwrap_err();
    assert!(code(&error).contains("READONLY"), "{error}");
}

#[test]
fn the_documented_permissions_suffice() {
    let mut rig = ScriptRig::new();
    let mut user = vec!["ACL", "SETUSER", "hub", "on", ">secret", "resetkeys", "~tidecast:*", "&*", "-@all"];
    user.extend(COMMANDS.split_whitespace());
    rig.command(&user);
    rig.connection = connect(&format!("redis://hub:secret@127.0.0.1:{}/0", rig.server.port));
    rig.retention.events_age_max = Duration::from_millis(1);
    for _ in 0..10 {
        rig.publish_once("x", "a", "");
        rig.publish("x");
    }
    let head = rig.head().unwrap();
    assert!(rig.read(Some(0)).head == head && rig.read(None).head == head);
    assert!(rig.forget().is_some());
}

#[test]
fn a_user_with_read_permission_can_read() {
    let mut rig = ScriptRig::new();
    rig.publish("1");
    let user = "ACL SETUSER reader on >secret ~* resetchannels -@all +@read +evalsha +eval";
    rig.command(&user.split_whitespace().collect::<Vec<_>>());
    rig.connection = connect(&format!("redis://reader:secret@127.0.0.1:{}/0", rig.server.port));
    assert_eq!(offsets(&rig.read(Some(0))), [1]);
    assert_eq!(offsets(&rig.read(None)), [1]);
}

#[test]
fn the_error_names_a_missing_permission() {
    let mut rig = ScriptRig::new();
    let user = "ACL SETUSER hub on >secret ~* &* +@all -info";
    rig.command(&user.split_whitespace().collect::<Vec<_>>());
    rig.connection = connect(&format!("redis://hub:secret@127.0.0.1:{}/0", rig.server.port));
    let error = rig.try_publish(&Event::text("x"), None, "").unwrap_err();
    assert!(code(&error).starts_with("NOPERM publishing needs the command INFO"), "{error}");
    assert_eq!(rig.number(&["DBSIZE"]), 0);
}

#[test]
fn a_user_who_must_not_add_events_deletes_none() {
    let mut rig = ScriptRig::new();
    rig.publish("1");
    let user = "ACL SETUSER hub on >secret ~* &* +@all -xadd";
    rig.command(&user.split_whitespace().collect::<Vec<_>>());
    rig.connection = connect(&format!("redis://hub:secret@127.0.0.1:{}/0", rig.server.port));
    let error = rig.try_publish(&Event::text("x"), None, "").unwrap_err();
    assert!(code(&error).contains("can't run this command"), "{error}");
    assert_eq!(offsets(&rig.read(None)), [1]);
}

#[test]
fn a_key_of_another_type_is_an_error_and_is_kept() {
    let mut rig = ScriptRig::new();
    let meta = rig.keys.meta.clone();
    rig.command(&["SET", &meta, "another program's"]);
    let error = rig.try_publish(&Event::text("x"), None, "").unwrap_err();
    assert!(code(&error).contains("WRONGTYPE"), "{error}");
    assert!(code(&rig.try_read(None, 1, 1).unwrap_err()).contains("WRONGTYPE"));
    assert_eq!(rig.text(&["GET", &meta]), "another program's");
    assert_eq!(rig.number(&["DBSIZE"]), 1);
}

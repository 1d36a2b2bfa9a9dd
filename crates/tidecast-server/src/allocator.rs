//! The allocator: jemalloc on Linux, set to give memory back at once.
//!
//! What a connection needs until its stream has left hyper is many times what the stream then takes, so a burst of them
//! leaves memory free, and whether the process keeps that is the allocator's choice. A hub that began with 5 to 6 MiB, and
//! had 15,000 streams connect in one moment, leave, and connect and leave again, in MiB:
//!
//! | | with the streams | after them | after them again |
//! |---|---|---|---|
//! | glibc | 41 | 40 | 41 |
//! | glibc, one arena, trimming from 128 KiB on | 37 | 37 | 39 |
//! | mimalloc | 25 | 25 | 29 |
//! | jemalloc | 34 | 32 | 30 |
//! | jemalloc, one arena | 32 | 31 | 25 |
//! | jemalloc, one arena, nothing kept | 11 | 8 | 8 |
//! | the same, without a cache a thread | 10 | 7 | 7 |
//!
//! The last but one is chosen: without caches a publish takes a third more instructions. To keep free pages for a while
//! does not work out, as time passes for jemalloc only while something is allocated, which an idle hub does not do. One
//! arena is enough, since the threads have their caches and what is published lies in blocks of up to 64 KiB.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How jemalloc is set, ended by a NUL: it looks for this symbol when it starts. `_RJEM_MALLOC_CONF` in the environment is
/// read after it.
#[expect(unsafe_code, reason = "a symbol could take the place of another; nobody else has one of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static SETTINGS: Option<&'static u8> = Some(&b"narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0\0"[0]);

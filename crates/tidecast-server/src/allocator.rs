//! The allocator: jemalloc on Linux, configured to return free memory at once.
//!
//! A connection in hyper takes many times the memory of a stream in a reactor, so a burst of connections leaves much memory
//! free, and the allocator decides whether the process keeps it. These are the sizes in MiB of a hub that began with 5 to 6
//! MiB, and had 15,000 streams connect at once and leave, twice:
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
//! The last but one is used: without thread caches a publish takes a third more instructions. Keeping free pages for a while
//! does not work, because jemalloc notices the passing of time only while it allocates, which an idle hub does not. One
//! arena is enough, because the threads have caches and events lie in blocks of up to 64 KiB.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The options of jemalloc, which reads this symbol when it starts, and the variable `_RJEM_MALLOC_CONF` after it. The text
/// ends with a NUL.
#[expect(unsafe_code, reason = "a symbol could replace another of the same name; no other crate defines this one")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static SETTINGS: Option<&'static u8> = Some(&b"narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0\0"[0]);

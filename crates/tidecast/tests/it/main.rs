//! The engine from the outside: one binary, one topic for each file. Time is virtual, and no test sleeps.

mod far;
mod far_server;
mod late;
mod stream;
mod support;

mod decode;
mod decode_table;
mod roundtrip;

mod cut;
mod live_resets;
mod resume;
mod resume_any_id;
mod resume_channels;
mod resume_model;
mod resume_own_ids;
mod resume_resets;
mod resume_world;

mod bounds;
mod bounds_all;
mod idempotency;

mod ahead;
mod append_outcome;
mod backfill;
mod backfill_late;
mod foreign;
mod lineage;
mod published;
mod suspended;

mod far_model;
mod far_world;

mod conformance;
mod conformance_faults;
mod notify_batch;
mod opening;
mod reader_groups;
mod subscription;
mod threads;

mod publisher;
mod publisher_full;
mod publisher_threads;

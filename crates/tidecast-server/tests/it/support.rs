//! Helpers that several tests of the hub share beside `tidecast-test`.

mod bystander;
pub(crate) mod metrics;
mod ticket;

pub(crate) use self::{
    bystander::Bystander,
    ticket::{sign_claims, sign_ticket, unix_time},
};

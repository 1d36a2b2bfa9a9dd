//! Decides which requests may pass.
//!
//! Each route asks [`Auth`] for the [`Permission`] that it needs: through a [`layer`], or directly on the paths that
//! publish. A request that is denied becomes a [`Refusal`], which [`refusal`] answers, counts and logs.

mod cause;
mod decision;
mod guess_counter;
mod host;
pub(crate) mod layer;
mod origin;
pub(crate) mod pattern;
pub(crate) mod refusal;
pub(crate) mod ticket;

pub(crate) use self::{
    cause::RefusalCause,
    decision::{Auth, Permission},
};

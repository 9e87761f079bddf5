//! Stories of calls, told to the machine alone.

mod beep;
mod bridge;
mod golden;
mod hostile;
mod late;
mod objection;
mod pauses;
mod policy;
mod reach;
mod relay;
pub(crate) mod rig;
mod simulation;
mod stories;
mod streams;
mod traces;
mod transfer;

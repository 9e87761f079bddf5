//! Stories of calls, told to the machine alone.

mod golden;
mod hostile;
mod reach;
pub(crate) mod rig;
mod simulation;
mod stories;
mod traces;

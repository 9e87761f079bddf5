//! Stories of calls, told to the machine alone.

pub(crate) mod rig;
mod simulation;
mod stories;

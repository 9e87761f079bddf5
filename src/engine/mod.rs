//! The pure half: what is true of a call, whatever machine runs it.
//!
//! No tokio, clock, disk, environment or randomness in here: time, identity and the world's answers are
//! arguments. It cannot fail but by being told something false. Start at [`call`], the machine of one call's
//! life, and at [`consent`], where the gate is a type; [`policy`] tells which law it is held to; [`redact`] keeps what is said
//! in a call out of its transcript, and [`transcript`] is where recognisers' words become one.

pub mod artifact;
pub mod audio;
pub mod call;
pub mod consent;
pub mod evidence;
pub mod figures;
pub mod ledger;
pub mod policy;
pub mod redact;
pub mod time;
pub mod transcript;
pub mod twilio;
pub mod webhook;

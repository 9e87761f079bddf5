//! The pure half: what is true of a call, whatever machine runs it.
//!
//! No tokio, clock, disk, environment or randomness in here: time, identity and the world's answers are
//! arguments. It cannot fail but by being told something false. Start at [`call`], the machine of one call's
//! life, and at [`consent`], where the gate is a type; [`redact`] keeps what is said in a call out of its transcript.

pub mod audio;
pub mod call;
pub mod consent;
pub mod figures;
pub mod ledger;
pub mod redact;
pub mod time;
pub mod twilio;
pub mod webhook;

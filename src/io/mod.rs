//! The world, one resource a folder, none knowing another. What they make of the engine's values is decided there;
//! here it is only done, with every failure given a name.

mod aws;
pub mod bundle;
pub mod clock;
pub mod database;
mod http;
pub mod lock;
pub mod main_app;
pub mod objects;
pub mod policy;
#[cfg(feature = "polly")]
pub mod polly;
pub mod priority;
pub mod prompts;
pub mod recording;
pub mod relay;
pub mod seed;
pub mod spool;
pub mod transcriber;
pub mod twilio_rest;
pub mod webhook;

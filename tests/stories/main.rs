//! The gateway from outside, in stories: each file tells of one matter. One binary, for each would link all of callgate again.
//! `cargo test --test stories webhooks::` runs one file.

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

mod acts;
mod artifacts;
mod bridge;
mod checkpoints;
mod draining;
mod ends;
mod events;
mod evidence;
mod gateway;
mod hostile;
mod kms;
mod ledger;
mod main_app;
mod nodes;
mod noes;
mod objects;
mod openapi;
mod optout;
mod patience;
mod pause;
mod placing;
mod policy;
mod polly;
mod postgres;
mod prisma;
mod prompts;
mod relay;
mod replay;
mod retention;
mod sealing;
mod speech;
mod transcripts;
mod transfers;
mod us_calls;
mod us_clients;
mod versions;
mod webhooks;
mod who_may;

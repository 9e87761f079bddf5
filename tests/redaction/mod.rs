//! An evaluation set for redaction, made by code that shares nothing with the rules it measures.
#![allow(dead_code, reason = "the example and the tests use their own parts")]

pub mod fifth;
pub mod fourth;
pub mod random;
pub mod saying;
pub mod score;
pub mod secrets;
pub mod sixth;
pub mod talk;

//! The only place that knows Twilio's words: its WebSocket messages, its TwiML, its signatures.
//!
//! What comes in is parsed here once, into what was meant; after that nobody sees JSON. Facts are from Twilio's
//! "Media Streams – WebSocket Messages" and "Webhooks security" pages.

pub mod message;
pub mod outgoing;
pub mod signature;
pub mod speaker;
pub mod twiml;
pub mod verbs;

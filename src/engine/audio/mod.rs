//! Sound as numbers: frames, G.711, key tones, line tones, levels.
//!
//! Nothing here knows of consent or of Twilio's JSON. Start at [`frame`]: a frame's samples can be read only
//! inside the engine and on an `Admitted`.

pub mod beep;
pub mod frame;
pub mod g711;
pub mod greeting;
pub mod key;
pub mod keytone;
pub mod line;
pub mod notes;
pub mod prompts;
pub mod speech;

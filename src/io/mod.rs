//! The world, one resource a folder, none knowing another. What they make of the engine's values is decided there;
//! here it is only done, with every failure given a name.

pub mod clock;
pub mod database;
pub mod lock;
pub mod main_app;
pub mod objects;
pub mod priority;
pub mod recording;
pub mod spool;

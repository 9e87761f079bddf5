//! A frame's samples, outside the engine.
use callgate::engine::audio::frame::Frame;

fn samples(frame: &Frame) -> &[u8] {
    frame.codes()
}

fn main() {}

//! A raw frame on its way to a sink.
use callgate::engine::audio::frame::Frame;
use callgate::engine::consent::Batch;

fn smuggle(batch: &mut Batch, frame: Frame) {
    batch.admitted.push(frame);
}

fn main() {}

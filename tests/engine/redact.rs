//! Redaction, measured: a small part of the evaluation set with floors. The whole is `scripts/redact-eval`.

use crate::redaction::saying::Shape;
use crate::redaction::score::Score;
use crate::redaction::secrets::{OF_DIGITS, OTHERS};
use crate::redaction::talk::calls;
use callgate::engine::redact::Entity;

/// A seed of its own; the sentences are those of all parts.
const SEED: u64 = 42;

#[test]
fn what_is_sensitive_is_found_in_every_shape_and_little_else_is() {
    (0..3).for_each(measure);
}

fn measure(part: usize) {
    let score = Score::of(&calls(SEED, 1, part));
    assert!(score.calls > 200 && score.words > 40_000, "{} calls, {} words", score.calls, score.words);
    for entity in OF_DIGITS.into_iter().chain(OTHERS) {
        let tally = score.entity(entity);
        assert!(tally.all >= 30 && tally.recall() >= 0.97, "{}: {} of {}", entity.code(), tally.masked, tally.all);
    }
    for shape in Shape::ALL {
        let tally = score.shape(&format!("{shape:?}"));
        assert!(tally.all >= 30 && tally.recall() >= 0.97, "{shape:?}: {} of {}", tally.masked, tally.all);
    }
    assert!(score.all().recall() >= 0.99, "{}", score.all().recall());
    assert!(score.needless_per_thousand() <= 1.0, "{}", score.needless_per_thousand());
    assert!(score.entity(Entity::CardNumber).recall() >= 0.99);
}

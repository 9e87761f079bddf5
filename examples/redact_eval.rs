//! Measures redaction on a set of calls made from seeds and prints the report: `redact_eval [--half tune|held] [--rounds N] [--tell]`.
//!
//! `--tell` prints every leak and every needless mask instead, for whoever tunes the rules. A half that was told is held out no more.

#[path = "../tests/redaction/mod.rs"]
mod redaction;

use std::time::Instant;

use redaction::saying::Shape;
use redaction::score::{Score, Tally, redact};
use redaction::secrets::{OF_DIGITS, OTHERS};
use redaction::talk::{Call, calls};

/// The seeds of the two halves; the halves have other phrases, names and streets, too.
const SEEDS: [u64; 2] = [7, 1_000_003];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let rounds = value("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let held = value("--half").is_some_and(|half| half == "held");
    if arguments.iter().any(|argument| argument == "--tell") {
        Score::of(&calls(SEEDS[usize::from(held)], rounds, held)).told.iter().for_each(|line| println!("{line}"));
        return;
    }
    match value("--half") {
        Some(_) => report(held, rounds),
        None => [false, true].into_iter().for_each(|held| report(held, rounds)),
    }
}

fn report(held: bool, rounds: usize) {
    let set: Vec<Call> = calls(SEEDS[usize::from(held)], rounds, held);
    let score = Score::of(&set);
    let began = Instant::now();
    let released: usize = set.iter().map(|call| redact(call).len()).sum();
    let seconds = began.elapsed().as_secs_f64();
    let all = score.all();
    println!("## {}\n", if held { "The second half" } else { "The first half" });
    println!("{} calls, {} words, {} secrets, {released} utterances.\n", score.calls, score.words, all.all);
    println!("| | |\n|---|---|");
    println!("| recall | {:.4} |", all.recall());
    println!("| leaks per call | {:.4} |", score.leaks_per_call());
    println!("| needless masks per 1,000 ordinary words | {:.2} |", score.needless_per_thousand());
    println!("| masked under its own name | {:.3} |", all.named as f64 / all.all as f64);
    println!("| words per second, one core | {:.0} |\n", score.words as f64 / seconds);
    println!("| language | recall |\n|---|---|");
    for (tongue, tally) in &score.by_tongue {
        println!("| {tongue} | {:.3} |", tally.recall());
    }
    print!("\n| entity | all |");
    Shape::ALL.iter().for_each(|shape| print!(" {shape:?} |"));
    println!("\n|---|---|{}", "---|".repeat(Shape::ALL.len()));
    for entity in OF_DIGITS {
        print!("| {} | {} |", entity.code(), cell(score.entity(entity)));
        for shape in Shape::ALL {
            print!(" {} |", cell(score.by.get(&(entity, format!("{shape:?}"))).copied().unwrap_or_default()));
        }
        println!();
    }
    print!("| all |  |");
    Shape::ALL.iter().for_each(|shape| print!(" {} |", cell(score.shape(&format!("{shape:?}")))));
    println!("\n\n| entity | all | in its shapes |\n|---|---|---|");
    for entity in OTHERS {
        let shapes: Vec<String> =
            score.by.iter().filter(|((of, _), _)| *of == entity).map(|((_, shape), tally)| format!("{shape} {}", cell(*tally))).collect();
        println!("| {} | {} | {} |", entity.code(), cell(score.entity(entity)), shapes.join(", "));
    }
    println!();
}

fn cell(tally: Tally) -> String {
    if tally.all == tally.masked { "1".to_owned() } else { format!("{:.3} ({} of {})", tally.recall(), tally.masked, tally.all) }
}

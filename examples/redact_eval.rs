//! Measures redaction on a set of calls made from seeds and prints the report: `redact_eval [--part 1|2|3|4|5|6] [--rounds N] [--tell]`.
//!
//! `--tell` prints every leak and every needless mask instead, for whoever tunes the rules. A part that was told is held out no more.

#[path = "../tests/redaction/mod.rs"]
mod redaction;

use std::time::Instant;

use redaction::saying::Shape;
use redaction::score::{Score, Tally, redact};
use redaction::secrets::{OF_DIGITS, OTHERS};
use redaction::talk::{Call, calls};

/// The seeds of the parts; each has other phrases, names and streets, too.
const SEEDS: [u64; 6] = [7, 1_000_003, 2_000_003, 3_000_017, 4_000_037, 5_000_011];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let rounds = value("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let parts: Vec<usize> = match value("--part") {
        Some(part) => {
            vec![part.parse::<usize>().ok().and_then(|part| part.checked_sub(1)).filter(|part| *part < SEEDS.len()).expect("1 to 6")]
        }
        None => (0..SEEDS.len()).collect(),
    };
    if arguments.iter().any(|argument| argument == "--tell") {
        let told = parts.into_iter().flat_map(|part| Score::of(&calls(SEEDS[part], rounds, part)).told);
        told.for_each(|line| println!("{line}"));
        return;
    }
    parts.into_iter().for_each(|part| report(part, rounds));
}

fn report(part: usize, rounds: usize) {
    let set: Vec<Call> = calls(SEEDS[part], rounds, part);
    let score = Score::of(&set);
    let began = Instant::now();
    let released: usize = set.iter().map(|call| redact(call).len()).sum();
    let seconds = began.elapsed().as_secs_f64();
    let all = score.all();
    println!("## The {} part\n", ["first", "second", "third", "fourth", "fifth", "sixth"][part]);
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
    let shapes = Shape::of(part);
    print!("\n| entity | all |");
    shapes.iter().for_each(|shape| print!(" {shape:?} |"));
    println!("\n|---|---|{}", "---|".repeat(shapes.len()));
    // What is found whole in every shape needs no row.
    let (whole, rest): (Vec<_>, Vec<_>) =
        OF_DIGITS.into_iter().partition(|entity| score.entity(*entity).all == score.entity(*entity).masked);
    for entity in rest {
        print!("| {} | {} |", entity.code(), cell(score.entity(entity)));
        for shape in shapes {
            print!(" {} |", cell(score.by.get(&(entity, format!("{shape:?}"))).copied().unwrap_or_default()));
        }
        println!();
    }
    if !whole.is_empty() {
        println!("| {} |{}", whole.iter().map(|entity| entity.code()).collect::<Vec<_>>().join(", "), " 1 |".repeat(1 + shapes.len()));
    }
    print!("| all |  |");
    shapes.iter().for_each(|shape| print!(" {} |", cell(score.shape(&format!("{shape:?}")))));
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

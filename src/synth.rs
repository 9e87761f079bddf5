//! `callgate prompts synth`: the shipped scripts, spoken by a production voice, as a folder for `CALLGATE_PROMPTS_DIR`.

use std::path::Path;

use anyhow::Context as _;
use callgate::engine::audio::prompts::library;
use callgate::engine::audio::speech;
use callgate::io::polly::Polly;
use callgate::io::prompts;

/// Has every prompt spoken, writes them, and reads them again as a gateway would.
pub async fn run(out: &Path) -> anyhow::Result<()> {
    let polly = Polly::open().await;
    let mut made = Vec::new();
    for script in library().iter() {
        let name = format!("{}/{}", script.language.code(), script.line.word());
        let said = polly.speak(script.language, &speech::ssml(script)).await.with_context(|| format!("{name} is not spoken"))?;
        let (row, codes) = speech::spoken(script, &said.pcm, &said.marks).with_context(|| format!("{name} as Amazon Polly spoke it"))?;
        println!("{:<24} {:>6.2} s  {}", row.file, row.samples as f64 / 8_000.0, Polly::voice(script.language));
        made.push((row, codes));
    }
    prompts::write(out, &made)?;
    let checked = prompts::open(out)?;
    println!("{} prompts in {}; set CALLGATE_PROMPTS_DIR to it", checked.iter().count(), out.display());
    Ok(())
}

//! Rules that the compiler does not keep.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// No file is longer than can be read in one sitting.
const LINES_MAX: usize = 800;

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(ROOT).join(folder), &mut found);
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_module_has_its_door_text_and_can_be_read_in_one_sitting() {
    for (path, text) in
        sources("src").into_iter().chain(sources("tests")).filter(|(path, _)| !path.to_string_lossy().contains("tests/types"))
    {
        assert!(text.starts_with("//! "), "{}: a file begins with what it is", path.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines", path.display());
    }
}

#[test]
fn the_engine_is_pure() {
    // A test that keeps its traces in files is the one exception.
    let pure = |path: &Path| !path.ends_with("src/engine/call/tests/traces.rs");
    for (path, text) in sources("src/engine").into_iter().filter(|(path, _)| pure(path)) {
        let text: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for banned in [
            "async ",
            "tokio",
            "std::fs",
            "std::net",
            "std::env",
            "Instant::now",
            "SystemTime",
            "std::thread",
            "rand::",
            "HashMap",
            "println!",
        ] {
            assert!(!text.contains(banned), "{}: {banned}", path.display());
        }
        assert!(!text.contains("crate::io") && !text.contains("crate::server"), "{}: arrows go one way", path.display());
    }
    for (path, text) in sources("src/io") {
        assert!(!text.contains("crate::server") && !text.contains("crate::replay"), "{}: arrows go one way", path.display());
    }
}

#[test]
fn only_a_commit_makes_a_receipt() {
    for (path, text) in sources("src") {
        let name = path.to_string_lossy().replace(ROOT, "");
        let may =
            ["/src/io/database/ledger.rs", "/src/engine/ledger/mod.rs", "/src/engine/consent/testing.rs", "/src/engine/call/tests/rig.rs"];
        assert!(!text.contains("after_fsync") || may.contains(&name.as_str()), "{name}: `after_fsync` is the ledger's alone");
    }
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let all: String = sources("src").into_iter().chain(sources("tests")).map(|(_, text)| text).collect();
    let door = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let mut kept = 0;
    for row in door.lines().filter(|line| line.starts_with("//! | P")) {
        let test = row.rsplit('|').nth(1).unwrap().trim().trim_matches('`');
        assert!(all.contains(&format!("fn {test}(")), "no test {test}");
        kept += 1;
    }
    assert_eq!(kept, 12);
}

#[test]
fn nothing_is_left_half_done() {
    for (path, text) in sources("src")
        .into_iter()
        .chain(sources("tests"))
        .filter(|(path, _)| !path.ends_with("tests/engine/tidy.rs") && !path.to_string_lossy().contains("tests/types"))
    {
        for banned in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "FIXME", "XXX"] {
            assert!(!text.contains(banned), "{}: {banned}", path.display());
        }
    }
}

#[test]
fn every_copy_of_the_dockerfile_has_its_source() {
    let dockerfile = fs::read_to_string(Path::new(ROOT).join("Dockerfile")).unwrap();
    let mut copies = 0;
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        for source in &words[..words.len() - 1] {
            assert!(Path::new(ROOT).join(source).exists(), "{source} is copied and does not exist");
            copies += 1;
        }
    }
    assert!(copies >= 5);
    assert!(dockerfile.contains("USER ") && dockerfile.contains("HEALTHCHECK "));
}

#[test]
fn every_fixture_is_the_one_its_manifest_names() {
    use sha2::Digest as _;
    let folder = Path::new(ROOT).join("fixtures/audio");
    let rows: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("fixtures.json")).unwrap()).unwrap();
    for row in rows.as_array().unwrap() {
        let bytes = fs::read(folder.join(row["file"].as_str().unwrap())).unwrap();
        let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(row["sha256"].as_str(), Some(digest.as_str()), "{}", row["file"]);
    }
}

#[test]
fn every_test_is_run_by_the_one_command() {
    let command = fs::read_to_string(Path::new(ROOT).join("scripts/test")).unwrap();
    for entry in fs::read_dir(Path::new(ROOT).join("tests")).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let packaged = path.join("Cargo.toml").exists() && command.contains(&format!("--package callgate-{name}"));
        if path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").exists() || path.join("Cargo.toml").exists() {
            assert!(packaged || command.contains(&format!("--test {name}")), "scripts/test does not run {name}");
        }
        for file in fs::read_dir(&path).into_iter().flatten().flatten().filter(|_| path.join("main.rs").exists()) {
            let module = file.path().file_stem().unwrap().to_str().unwrap().to_owned();
            let main = fs::read_to_string(path.join("main.rs")).unwrap();
            assert!(module == "main" || main.contains(&format!("mod {module};")), "{name}/{module}.rs is in no binary");
        }
    }
}

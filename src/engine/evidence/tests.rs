//! A small bundle, and everything that may be done to it.

use std::slice;

use serde_json::{Value, json};

use super::*;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Method};
use crate::engine::ledger::{Checkpoint, Decision, Event, EventKind, Hash, Head, Merkle, NoteSigner, Prover, Salt};
use crate::engine::time::WallTime;

const SALT: Salt = Salt([7; 16]);

fn signer() -> NoteSigner {
    NoteSigner::new("gate", &[3; 32]).unwrap()
}

fn event(kind: EventKind, call: Option<&str>, client: &str, detail: Value) -> Event {
    Event {
        org_id: "org".into(),
        kind,
        actor: Actor::System,
        call_id: call.map(str::to_owned),
        client_id: Some(client.into()),
        at: WallTime(1_790_000_000_000),
        position: None,
        detail,
    }
}

fn granted() -> ConsentRecord {
    ConsentRecord {
        id: "consent_1".into(),
        org_id: "org".into(),
        client_id: "client".into(),
        call_id: Some("call".into()),
        status: ConsentStatus::Granted,
        method: Method::Keypress,
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: Actor::Client { id: "client".into() },
        at: WallTime(1_790_000_000_000),
        reason: Some("<b>said & \"done\"</b>".into()),
        evidence: json!({ "prompt": { "language": "en", "version": "v1", "sha256": "ab", "playedMs": 4_900, "plays": 1 }, "window": { "levelDbov": -51.0 } }).into(),
        policy_version: None,
        policy_basis: None,
    }
}

/// A chain of an organisation with other people's entries in it.
struct Chain {
    head: Head,
    leaves: Vec<Hash>,
    ours: Vec<(u64, String)>,
}

impl Chain {
    fn new() -> Self {
        Self { head: Head::default(), leaves: Vec::new(), ours: Vec::new() }
    }

    fn append(&mut self, event: &Event, ours: bool) -> String {
        let entry = self.head.follow(event).unwrap();
        self.head = Head { seq: entry.seq, hash: entry.hash };
        self.leaves.push(entry.hash);
        if ours {
            self.ours.push((entry.seq, entry.canonical.clone()));
        }
        entry.canonical
    }

    fn seal(&self, signer: &NoteSigner, seqs: impl IntoIterator<Item = u64>) -> Seal {
        let mut tree = Merkle::default();
        let mut prover = Prover::of(seqs.into_iter().map(|seq| seq - 1));
        for leaf in &self.leaves {
            tree.push(*leaf);
            prover.push(*leaf);
        }
        let (root, proofs) = prover.finish().unwrap();
        assert_eq!(root, tree.root());
        let note = signer.sign(&Checkpoint::of(signer.name(), "org", tree.size(), root).text());
        Seal { note, key: signer.verifier(), proofs }
    }
}

fn material(chain: &Chain, records: Vec<Opened>) -> Material {
    Material {
        at: WallTime(1_790_000_100_000),
        by: "auditor".into(),
        org_id: "org".into(),
        call_id: "call".into(),
        client_id: "client".into(),
        call: json!({ "callSid": "CA1", "phase": "ENDED", "isRecorded": true, "direction": "INBOUND",
                      "consent": { "status": "GRANTED", "method": "KEYPRESS", "grantedAt": "2026-09-21T00:00:00.000Z" } }),
        journey: vec![json!({ "version": 1, "at": "2026-09-21T00:00:00.000Z", "kinds": ["call.started"], "phase": "PROMPTING" })],
        stored: [("recordings".to_owned(), vec![json!({ "recordingId": "rec_1" })])].into(),
        entries: chain.ours.iter().map(|(_, entry)| entry.clone()).collect(),
        records,
    }
}

/// The chain, its bundle, and the record in it.
fn bundle() -> (Chain, Files) {
    let mut chain = Chain::new();
    chain.append(&event(EventKind::ConfigInForce, None, "nobody", json!({})), false);
    let decision = Decision::of(&granted(), 1, SALT).unwrap();
    chain.append(&decision.event, true);
    chain.append(&event(EventKind::RecordingStarted, Some("another"), "somebody", json!({})), false);
    chain.append(&event(EventKind::RecordingStarted, Some("call"), "client", json!({ "n": 1 })), true);
    chain.append(&event(EventKind::RecordingFinished, Some("call"), "client", json!({ "bytes": 12 })), true);
    let opened = Opened { entry: 2, record: decision.record, salt: SALT.to_string() };
    let files = export(&mut chain, material_of(opened), &signer());
    (chain, files)
}

fn material_of(opened: Opened) -> impl FnOnce(&Chain) -> Material {
    move |chain| material(chain, vec![opened])
}

fn export(chain: &mut Chain, material: impl FnOnce(&Chain) -> Material, signer: &NoteSigner) -> Files {
    let draft = Draft::of(material(chain), SALT).unwrap();
    let own = chain.append(&event(EventKind::EvidenceExported, Some("call"), "client", draft.detail()), false);
    assert!(draft.is_own(&own));
    let seqs: Vec<u64> = chain.ours.iter().map(|(seq, _)| *seq).chain([chain.head.seq]).collect();
    let seal = chain.seal(signer, seqs);
    chain.ours.push((chain.head.seq, own.clone()));
    draft.close(own, &seal)
}

fn lines(files: &Files) -> Vec<String> {
    String::from_utf8(files[ENTRIES].clone()).unwrap().lines().map(str::to_owned).collect()
}

fn with_lines(files: &Files, lines: &[String]) -> Files {
    let mut changed = files.clone();
    changed.insert(ENTRIES.into(), lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes());
    changed
}

fn why(files: &Files) -> String {
    verify(files, &[]).unwrap_err().to_string()
}

#[test]
fn a_bundle_is_verified_by_its_own_key_and_by_one_that_is_given() {
    let (chain, files) = bundle();
    let key = signer().verifier();
    let verified = verify(&files, slice::from_ref(&key)).unwrap();
    assert_eq!((verified.call_id.as_str(), verified.org_id.as_str(), verified.entries), ("call", "org", 4));
    assert_eq!((verified.checkpoint.size, verified.exported_at.as_str()), (6, "2026-09-21T14:15:00.000Z"));
    assert_eq!(verify(&files, &[]).unwrap(), verified);
    assert_eq!(chain.ours.last().unwrap().0, 6, "the last entry is the export's own");
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    let expected = [
        "chain/2.tlog-proof",
        "chain/4.tlog-proof",
        "chain/5.tlog-proof",
        "chain/6.tlog-proof",
        CHECKPOINT,
        ENTRIES,
        KEY,
        EVIDENCE,
        PAGE,
        MANIFEST,
        RECORDS,
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_byte_of_every_file_counts() {
    let (_, files) = bundle();
    let key = signer().verifier();
    for (name, bytes) in &files {
        // Of the page's style one byte in so many will do: all of it hangs on one digest.
        let step = if name == PAGE { 97 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 1;
            assert!(verify(&changed, slice::from_ref(&key)).is_err(), "byte {at} of {name}");
        }
        let mut longer = files.clone();
        longer.get_mut(name).unwrap().push(b'\n');
        assert!(verify(&longer, slice::from_ref(&key)).is_err(), "{name} and a line more");
        let mut shorter = files.clone();
        shorter.get_mut(name).unwrap().pop();
        assert!(verify(&shorter, slice::from_ref(&key)).is_err(), "{name} without its last byte");
        let mut gone = files.clone();
        gone.remove(name);
        assert!(verify(&gone, slice::from_ref(&key)).unwrap_err().to_string().contains("missing"), "{name}");
    }
    let mut more = files.clone();
    more.insert("chain/3.tlog-proof".into(), files["chain/2.tlog-proof"].clone());
    assert!(why(&more).contains("chain/3.tlog-proof does not belong"), "{}", why(&more));
}

#[test]
fn entries_that_are_dropped_doubled_swapped_cut_or_anothers_are_named() {
    let (mut chain, files) = bundle();
    let all = lines(&files);
    for at in 0..all.len() - 1 {
        let mut dropped = all.clone();
        dropped.remove(at);
        let dropped = with_lines(&files, &dropped);
        assert!(verify(&dropped, &[]).is_err(), "dropped {at}");
        // And its proof with it.
        let mut clean = dropped.clone();
        clean.remove(&proof_of(chain.ours[at].0));
        assert_eq!(verify(&clean, &[]), Err(Wrong::Untold("which entries there are")), "dropped {at} without a trace");
        let mut doubled = all.clone();
        doubled.insert(at, all[at].clone());
        assert_eq!(verify(&with_lines(&files, &doubled), &[]), Err(Wrong::Disorder(chain.ours[at].0)));
        let mut swapped = all.clone();
        swapped.swap(at, at + 1);
        assert_eq!(verify(&with_lines(&files, &swapped), &[]), Err(Wrong::Disorder(chain.ours[at].0)));
    }
    let mut cut = with_lines(&files, &all[..all.len() - 1]);
    cut.remove(&proof_of(6));
    assert_eq!(verify(&cut, &[]), Err(Wrong::NoExport));

    // Another call's entry, proven as it should be, in the place of one that was dropped and in none.
    let other = chain.append(&event(EventKind::RecordingStarted, Some("another"), "somebody", json!({})), false);
    let seal = chain.seal(&signer(), [2, 4, 5, 6, 7]);
    let mut more = all.clone();
    more.push(other);
    let mut foreign = with_lines(&files, &more);
    foreign.insert(CHECKPOINT.into(), seal.note.clone().into_bytes());
    foreign.extend(seal.proofs.iter().map(|proof| (proof_of(proof.index + 1), proof.text(&seal.note).into_bytes())));
    assert_eq!(verify(&foreign, &[]), Err(Wrong::NoExport), "behind the export's own");
    more.swap(3, 4);
    assert_eq!(verify(&with_lines(&foreign, &more), &[]), Err(Wrong::Disorder(6)));

    // A checkpoint that was signed later proves all the same entries.
    let mut later = foreign.clone();
    later.remove(&proof_of(7));
    assert_eq!(verify(&with_lines(&later, &all), &[]).unwrap().checkpoint.size, 7);
}

#[test]
fn another_key_another_export_and_a_lie_about_the_chain_are_refused() {
    let (mut chain, files) = bundle();
    // Who has no key but his own can sign all of it anew; the key that came by another way tells.
    let forger = NoteSigner::new("gate", &[4; 32]).unwrap();
    let seal = chain.seal(&forger, [2, 4, 5, 6]);
    let mut forged = files.clone();
    forged.insert(CHECKPOINT.into(), seal.note.clone().into_bytes());
    forged.insert(KEY.into(), format!("{}\n", seal.key).into_bytes());
    forged.extend(seal.proofs.iter().map(|proof| (proof_of(proof.index + 1), proof.text(&seal.note).into_bytes())));
    assert!(verify(&forged, &[]).is_ok(), "it is whole, by its own word");
    let refused = verify(&forged, &[signer().verifier()]).unwrap_err();
    assert_eq!(refused, Wrong::OtherKey(seal.key.to_string()));
    let mut half = files.clone();
    half.insert(KEY.into(), format!("{}\n", seal.key).into_bytes());
    assert!(why(&half).contains("checkpoint.txt: it is not signed by"), "{}", why(&half));

    // What one export says does not fit to another's end.
    let again = export(&mut chain, |chain| material(chain, Vec::new()), &signer());
    assert!(verify(&again, &[]).is_ok(), "{:?}", verify(&again, &[]));
    let mut mixed = again;
    for name in [MANIFEST, EVIDENCE, PAGE, RECORDS] {
        mixed.insert(name.into(), files[name].clone());
    }
    assert_eq!(verify(&mixed, &[]), Err(Wrong::Manifest(7)));

    // A gateway that signs what its chain does not say.
    for (lie, untold) in
        [("sections", "the entries under their headings"), ("prompts", "the prompts"), ("entries", "which entries there are")]
    {
        let mut lied = files.clone();
        let mut evidence: Value = serde_json::from_slice(&files[EVIDENCE]).unwrap();
        match lie {
            "sections" => evidence["chain"]["sections"]["recording"][0]["at"] = json!("2020-01-01T00:00:00.000Z"),
            "prompts" => evidence["chain"]["prompts"][0]["prompt"]["playedMs"] = json!(9_000),
            _ => evidence["chain"]["entries"] = json!([2, 4]),
        }
        let bytes = evidence.to_string().into_bytes();
        let mut manifest: Value = serde_json::from_slice(&files[MANIFEST]).unwrap();
        manifest["files"][EVIDENCE] = serde_json::to_value(draft::Digest::of(&bytes)).unwrap();
        let manifest = manifest.to_string();
        let commitment = crate::engine::ledger::commitment(SALT, manifest.as_bytes()).to_string();
        lied.insert(EVIDENCE.into(), bytes);
        lied.insert(MANIFEST.into(), manifest.into_bytes());
        let mut anew = Chain::new();
        let told = lines(&files);
        for seq in 1..6_u64 {
            let kept = told.iter().find(|line| serde_json::from_str::<Value>(line).unwrap()["seq"] == seq);
            match kept {
                Some(line) => {
                    anew.head = Head { seq, hash: Hash::of_entry(line.as_bytes()) };
                    anew.leaves.push(anew.head.hash);
                }
                None => anew.leaves.push(chain.leaves[seq as usize - 1]),
            }
        }
        let own = anew.append(&event(EventKind::EvidenceExported, Some("call"), "client", json!({ "commitment": commitment })), false);
        let seal = anew.seal(&signer(), [2, 4, 5, 6]);
        let mut all = told[..3].to_vec();
        all.push(own);
        let mut lied = with_lines(&lied, &all);
        lied.insert(CHECKPOINT.into(), seal.note.clone().into_bytes());
        lied.extend(seal.proofs.iter().map(|proof| (proof_of(proof.index + 1), proof.text(&seal.note).into_bytes())));
        assert_eq!(verify(&lied, &[]), Err(Wrong::Untold(untold)), "{lie}");
    }
}

#[test]
fn the_page_shows_what_people_said_and_runs_nothing_of_it() {
    let (_, files) = bundle();
    let page = String::from_utf8(files[PAGE].clone()).unwrap();
    assert!(page.contains("&lt;b&gt;said &amp; &quot;done&quot;&lt;/b&gt;"), "escaped");
    assert!(!page.contains("<b>said") && !page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    for question in
        ["Ids", "Journey", "Start and end", "Prompt delivered", "Answer", "Opt-outs", "Pauses", "Transfers", "Transcripts", "Redaction"]
    {
        assert!(page.contains(&format!("<th scope=\"row\">{question}</th>")), "{question}");
    }
    for question in ["Accesses", "Retention", "Deletion", "Exceptions"] {
        assert!(page.contains(&format!("<th scope=\"row\">{question}</th>")), "{question}");
    }
    assert!(page.contains("at least 4.900 s of it played") && page.contains("Accepted, by a key"), "{page}");
}

#[test]
fn a_record_that_nobody_may_read_leaves_its_entry_proven() {
    let mut chain = Chain::new();
    let decision = Decision::of(&granted(), 1, SALT).unwrap();
    chain.append(&decision.event, true);
    let files = export(&mut chain, |chain| material(chain, Vec::new()), &signer());
    assert!(files[RECORDS].is_empty());
    let page = String::from_utf8(files[PAGE].clone()).unwrap();
    assert!(!page.contains("said &amp;"), "the reason is in the record alone");
    assert_eq!(verify(&files, &[]).unwrap().entries, 2);
    // Another record put in its place is not the one.
    let mut chain = Chain::new();
    chain.append(&decision.event, true);
    let opened = Opened { entry: 1, record: decision.record.replace("GRANTED", "REVOKED"), salt: SALT.to_string() };
    let files = export(&mut chain, material_of(opened), &signer());
    assert_eq!(verify(&files, &[]), Err(Wrong::Record(1)));
}

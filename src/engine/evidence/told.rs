//! What the chain says of a call, under the headings by which an auditor asks. Made of the entries alone, so that whoever
//! has them can make it again. An entry of a kind that is not known here is told as well, word for word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A heading, and which kinds of entries stand under it.
type Heading = (&'static str, fn(&str) -> bool);

/// The headings; an entry stands under each that fits, and under [`OTHER`] if none does.
const HEADINGS: [Heading; 12] = [
    ("journey", |kind| kind.starts_with("call.") || matches!(kind, "interaction.logged" | "task.completed")),
    ("consent", |kind| {
        matches!(
            kind,
            "consent.granted"
                | "consent.revoked"
                | "consent.annulled"
                | "consent.revocation_late"
                | "consent.abandoned"
                | "call.unrecorded"
        )
    }),
    ("optOuts", |kind| matches!(kind, "consent.revoked" | "recording.halted")),
    ("recording", |kind| {
        matches!(kind, "recording.started" | "recording.halted" | "recording.finished" | "recording.discarded" | "recording.failed")
    }),
    ("pauses", |kind| kind.starts_with("recording.pause") || kind == "recording.resumed"),
    ("transfers", |kind| kind.contains("transfer") || kind.starts_with("call.relay")),
    ("transcripts", |kind| kind.starts_with("transcri")),
    ("artifacts", |kind| kind.starts_with("artifact.")),
    ("accesses", |kind| kind.starts_with("access.") || [".read", ".viewed", ".exported"].iter().any(|end| kind.ends_with(end))),
    ("retention", |kind| kind.starts_with("hold.") || kind.ends_with(".queued")),
    ("deletions", |kind| [".deleted", ".discarded", ".destroyed", ".erased"].iter().any(|end| kind.ends_with(end))),
    ("exceptions", |kind| ["failed", "lost", "late", "overdue", "expired", "destroyed", "denied"].iter().any(|end| kind.ends_with(end))),
];

/// For what fits no other.
const OTHER: &str = "other";

/// Entries under their headings, and the prompts that they tell of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// The numbers of all entries.
    pub(super) entries: Vec<u64>,
    /// Each prompt that a decision rests on: language, version, digest, how much of it was played.
    pub(super) prompts: Vec<Value>,
    /// The entries under their headings, each as it stands in the chain.
    pub(super) sections: BTreeMap<String, Vec<Value>>,
}

impl Told {
    /// Of a call's entries, in the chain's order.
    pub(super) fn of(entries: &[Value]) -> Self {
        let headings = HEADINGS.iter().map(|(name, _)| *name).chain([OTHER]);
        let mut sections: BTreeMap<String, Vec<Value>> = headings.map(|name| (name.to_owned(), Vec::new())).collect();
        for entry in entries {
            for name in headings_of(entry) {
                sections.entry(name.to_owned()).or_default().push(entry.clone());
            }
        }
        let prompt = |entry: &Value| {
            let prompt = ["/detail/evidence/prompt", "/detail/prompt"].iter().find_map(|at| entry.pointer(at))?;
            Some(json!({ "entry": entry["seq"], "at": entry["at"], "kind": entry["kind"], "callId": entry["callId"], "prompt": prompt }))
        };
        Self {
            entries: entries.iter().filter_map(|entry| entry["seq"].as_u64()).collect(),
            prompts: entries.iter().filter_map(prompt).collect(),
            sections,
        }
    }

    /// The entries under a heading.
    pub(super) fn under(&self, name: &str) -> &[Value] {
        self.sections.get(name).map_or(&[], Vec::as_slice)
    }
}

fn headings_of(entry: &Value) -> Vec<&'static str> {
    let kind = entry["kind"].as_str().unwrap_or_default();
    // A call that went unrecorded because nothing could be trusted, and not because somebody said no.
    let failed = kind == "call.unrecorded" && entry.pointer("/detail/reason").is_some_and(|reason| reason == "SYSTEM_ERROR");
    let fits = |(name, fits): &Heading| (fits(kind) || (failed && *name == "exceptions")).then_some(*name);
    let names: Vec<_> = HEADINGS.iter().filter_map(fits).collect();
    if names.is_empty() { vec![OTHER] } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kinds: &[&str]) -> Told {
        let entries: Vec<_> = kinds.iter().enumerate().map(|(n, kind)| json!({ "seq": n + 1, "kind": kind, "detail": {} })).collect();
        Told::of(&entries)
    }

    #[test]
    fn every_entry_stands_under_a_heading_and_a_new_kind_under_other() {
        let told =
            told(&["consent.revoked", "recording.paused", "call.transferred", "transcript.stored", "weather.changed", "recording.failed"]);
        assert_eq!(told.entries, [1, 2, 3, 4, 5, 6]);
        for (name, seqs) in [
            ("consent", vec![1]),
            ("optOuts", vec![1]),
            ("pauses", vec![2]),
            ("transfers", vec![3]),
            ("journey", vec![3]),
            ("transcripts", vec![4]),
            ("other", vec![5]),
            ("exceptions", vec![6]),
            ("deletions", vec![]),
        ] {
            let found: Vec<_> = told.under(name).iter().filter_map(|entry| entry["seq"].as_u64()).collect();
            assert_eq!(found, seqs, "{name}");
        }
        assert_eq!(told.under("other")[0]["kind"], "weather.changed", "word for word");
    }

    #[test]
    fn a_call_unrecorded_by_a_fault_is_an_exception_and_one_by_a_no_is_none() {
        for (reason, exceptions) in [("SYSTEM_ERROR", 1), ("PRIOR_OPT_OUT", 0)] {
            let told = Told::of(&[json!({ "seq": 1, "kind": "call.unrecorded", "detail": { "reason": reason } })]);
            assert_eq!((told.under("exceptions").len(), told.under("consent").len()), (exceptions, 1), "{reason}");
        }
    }
}

//! What people read: tables, JSON, a page with plots that opens offline.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::CallOutcome;

/// What a replay came to.
pub(super) struct Summary {
    calls: usize,
    speed: f64,
    scenarios: BTreeMap<String, (usize, usize)>,
    latencies: Vec<(&'static str, &'static str, Vec<f64>)>,
    failures: Vec<String>,
}

/// A table as all commands print them.
pub fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(head);
    table
}

impl Summary {
    pub(super) fn of(outcomes: &[CallOutcome], speed: f64) -> Self {
        let mut scenarios: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut failures = Vec::new();
        for outcome in outcomes {
            let counts = scenarios.entry(outcome.scenario.name.clone()).or_default();
            counts.0 += 1;
            counts.1 += usize::from(!outcome.failures.is_empty());
            failures.extend(outcome.failures.iter().map(|why| format!("{} ({}): {why}", outcome.scenario.name, outcome.seen.call_sid)));
        }
        let of = |value: fn(&CallOutcome) -> Option<f64>| {
            let mut values: Vec<f64> = outcomes.iter().filter_map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let latencies = vec![
            ("handshake", "until the socket is open", of(|outcome| outcome.seen.handshake_ms)),
            ("first audio", "from start to the prompt's first message", of(|outcome| outcome.seen.first_audio_ms)),
            ("decision", "from the last key to the gateway's reaction", of(|outcome| outcome.seen.decision_ms)),
            ("cut", "from the last captured frame's end to the key's first frame", of(cut_ms)),
        ];
        Self { calls: outcomes.len(), speed, scenarios, latencies, failures }
    }

    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(super) fn text(&self) -> String {
        let mut by_scenario = table(["scenario", "calls", "failed"]);
        for (name, (calls, failed)) in &self.scenarios {
            by_scenario.add_row([name.clone(), calls.to_string(), failed.to_string()]);
        }
        let mut by_latency = table(["ms", "what", "n", "p50", "p90", "p99", "max"]);
        for (name, what, values) in self.latencies.iter().filter(|(_, _, values)| !values.is_empty()) {
            let q = |q| format!("{:.2}", quantile(values, q));
            by_latency.add_row([(*name).to_owned(), (*what).to_owned(), values.len().to_string(), q(0.5), q(0.9), q(0.99), q(1.0)]);
        }
        format!("{by_scenario}\n{by_latency}")
    }

    /// `{calls, failed, speed, scenarios: {name: {calls, failed}}, latencyMs: {name: {n, p50, p90, p99, max}}, failures: […]}`
    pub(super) fn json(&self) -> String {
        let latencies: serde_json::Map<String, Value> = self
            .latencies
            .iter()
            .map(|(name, _, values)| {
                let q = |q| if values.is_empty() { Value::Null } else { json!(quantile(values, q)) };
                ((*name).to_owned(), json!({ "n": values.len(), "p50": q(0.5), "p90": q(0.9), "p99": q(0.99), "max": q(1.0) }))
            })
            .collect();
        let scenarios: serde_json::Map<String, Value> =
            self.scenarios.iter().map(|(name, (calls, failed))| (name.clone(), json!({ "calls": calls, "failed": failed }))).collect();
        let failed: usize = self.scenarios.values().map(|(_, failed)| failed).sum();
        let all = json!({ "calls": self.calls, "failed": failed, "speed": self.speed, "scenarios": scenarios,
                          "latencyMs": latencies, "failures": self.failures });
        serde_json::to_string_pretty(&all).unwrap_or_default()
    }

    pub(super) fn html(&self) -> String {
        let mut page = String::from(HEAD);
        let failed: usize = self.scenarios.values().map(|(_, failed)| failed).sum();
        let verdict =
            if failed == 0 { "every call came out as its scenario says".to_owned() } else { format!("{failed} came out otherwise") };
        let _ = write!(page, "<h1>callgate replay</h1><p>{} calls at {} times real time: {verdict}.</p>", self.calls, self.speed);
        page.push_str("<h2>Scenarios</h2><table><tr><th>scenario<th>calls<th>failed</tr>");
        for (name, (calls, failed)) in &self.scenarios {
            let _ = write!(page, "<tr><td>{}<td>{calls}<td>{failed}</tr>", escaped(name));
        }
        page.push_str("</table><h2>Latencies</h2>");
        for (name, what, values) in self.latencies.iter().filter(|(_, _, values)| !values.is_empty()) {
            let q = |q| quantile(values, q);
            let _ = write!(
                page,
                "<figure><figcaption><b>{name}</b>, {what}: median {:.2} ms, p99 {:.2} ms, at most {:.2} ms ({} calls)</figcaption>{}</figure>",
                q(0.5),
                q(0.99),
                q(1.0),
                values.len(),
                histogram(values)
            );
        }
        if !self.failures.is_empty() {
            page.push_str("<h2>What came out otherwise</h2><ul>");
            for failure in &self.failures {
                let _ = write!(page, "<li>{}</li>", escaped(failure));
            }
            page.push_str("</ul>");
        }
        page.push_str("</main></body></html>\n");
        page
    }
}

/// From the end of the last captured frame to the frame at which the deciding key began, in milliseconds of media.
pub(super) fn cut_ms(outcome: &CallOutcome) -> Option<f64> {
    let key = outcome.scenario.expect.cut_at_key?;
    let (at, _, _) = outcome.seen.presses.get(key - 1)?;
    let last = outcome.found.frames.as_ref()?.last()?;
    Some((*at as f64 - (*last as f64 + 1.0)) * 20.0)
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = ((sorted.len().saturating_sub(1)) as f64 * q).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Bars over equal steps between the smallest and the largest value.
fn histogram(values: &[f64]) -> String {
    const BARS: usize = 40;
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 120.0;
    let (low, high) = (quantile(values, 0.0).min(0.0), quantile(values, 1.0));
    let step = ((high - low) / BARS as f64).max(f64::MIN_POSITIVE);
    let mut counts = [0usize; BARS];
    for value in values {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bar")]
        let bar = (((value - low) / step) as usize).min(BARS - 1);
        counts[bar] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {:.0}" role="img">"#, HEIGHT + 22.0);
    for (bar, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let tall = *count as f64 / most * HEIGHT;
        let (x, width) = (bar as f64 * WIDTH / BARS as f64, WIDTH / BARS as f64 - 1.5);
        let _ = write!(
            svg,
            r#"<rect x="{x:.1}" y="{:.1}" width="{width:.1}" height="{:.1}"><title>{count}</title></rect>"#,
            HEIGHT - tall,
            tall.max(1.0)
        );
    }
    for n in 0..=4 {
        let x = WIDTH * f64::from(n) / 4.0;
        let anchor = ["start", "middle", "middle", "middle", "end"][n as usize];
        let _ = write!(
            svg,
            r#"<text x="{x:.0}" y="{:.0}" text-anchor="{anchor}">{:.1} ms</text>"#,
            HEIGHT + 16.0,
            low + (high - low) * f64::from(n) / 4.0
        );
    }
    svg.push_str("</svg>");
    svg
}

const HEAD: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>callgate replay</title><style>
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fbfaf7; --line: #d8d4ca; --bar: #2f6f8f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e3dc; --paper: #171a1f; --line: #3a3f48; --bar: #6fb1d1; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th + th, td + td { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.4rem 0; } figcaption { margin-bottom: .4rem; } svg { width: 100%; }
rect { fill: var(--bar); } text { fill: var(--ink); font-size: 11px; }
</style></head><body><main>"#;

//! The page with plots: one file of HTML that opens offline, in light and in dark, with SVG written by hand.

use std::fmt::Write as _;

use super::report::{Latency, Summary};

const BARS: usize = 48;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;
/// Below the bars, for the axis; above, for the names of the quantiles.
const FOOT: f64 = 24.0;
const HEAD_ROOM: f64 = 18.0;

impl Summary {
    pub(super) fn html(&self) -> String {
        let mut page = String::from(HEAD);
        let failed = self.failed();
        let (class, verdict) = match failed {
            0 => ("good", "every call came out as its scenario says".to_owned()),
            1 => ("bad", "1 call came out otherwise".to_owned()),
            more => ("bad", format!("{more} calls came out otherwise")),
        };
        let _ = write!(
            page,
            r#"<h1>callgate replay</h1><p class="verdict {class}">{verdict}</p><p>{} calls at {} times real time; {} recordings were opened and searched, frame by frame.</p>"#,
            self.calls, self.speed, self.opened
        );
        if let Some(believed) = self.believed() {
            let _ = write!(page, "<p>{}.</p>", escaped(believed));
        }
        if !self.failures.is_empty() {
            page.push_str("<h2>What came out otherwise</h2><div class=\"wide\"><table class=\"text\"><tr><th>scenario<th>call<th>what<th>expected<th>seen</tr>");
            for (scenario, call, failure) in &self.failures {
                let cells = [scenario, call, failure.what, &failure.expected, &failure.seen].map(escaped);
                let _ = write!(page, "<tr><td>{}</tr>", cells.join("<td>"));
            }
            page.push_str("</table></div>");
        }
        page.push_str("<h2>Scenarios</h2><table><tr><th>scenario<th>calls<th>failed</tr>");
        for (name, (calls, failed)) in &self.scenarios {
            let _ = write!(page, "<tr><td>{}<td>{calls}<td>{failed}</tr>", escaped(name));
        }
        page.push_str("</table><h2>Latencies</h2><table><tr><th>ms<th>n<th>p50<th>p90<th>p99<th>max</tr>");
        let had = || self.latencies.iter().filter(|latency| !latency.values.is_empty());
        for latency in had() {
            let _ = write!(page, "<tr><td>{}<td>{}", latency.name, latency.values.len());
            for q in [0.5, 0.9, 0.99, 1.0] {
                let _ = write!(page, "<td>{:.2}", latency.quantile(q));
            }
            page.push_str("</tr>");
        }
        page.push_str("</table>");
        for latency in had() {
            let _ =
                write!(page, "<figure><figcaption><b>{}</b>: {}</figcaption>{}</figure>", latency.name, latency.what, histogram(latency));
        }
        page.push_str("</main></body></html>\n");
        page
    }
}

fn escaped(text: impl AsRef<str>) -> String {
    text.as_ref().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A step of an axis that people count in, for about so many of them: 1, 2 or 5 times a power of ten.
fn round_step(span: f64, steps: f64) -> f64 {
    let rough = (span / steps).max(1e-3);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// Bars over equal steps from 0, or below, to the largest value; lines at the median and at p99.
fn histogram(latency: &Latency) -> String {
    let (low, high) = (latency.quantile(0.0).min(0.0), latency.quantile(1.0).max(0.0));
    let tick = round_step(high - low, 6.0);
    let (low, high) = ((low / tick).floor() * tick, ((high / tick).ceil() * tick).max(tick));
    let x = |value: f64| (value - low) / (high - low) * WIDTH;
    let mut counts = [0usize; BARS];
    for value in &latency.values {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bar")]
        let bar = ((value - low) / (high - low) * BARS as f64) as usize;
        counts[bar.min(BARS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let base = HEAD_ROOM + HEIGHT;
    let mut svg = format!(r#"<svg viewBox="-30 0 {:.0} {:.0}" role="img" aria-label="histogram">"#, WIDTH + 60.0, base + FOOT);
    let width = WIDTH / BARS as f64;
    for (bar, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let tall = (*count as f64 / most * HEIGHT).max(1.5);
        let (from, to) = (low + bar as f64 * (high - low) / BARS as f64, low + (bar + 1) as f64 * (high - low) / BARS as f64);
        let _ = write!(
            svg,
            r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="{tall:.1}"><title>{from:.1} to {to:.1} ms: {count}</title></rect>"#,
            bar as f64 * width + 0.75,
            base - tall,
            width - 1.5
        );
    }
    let _ = write!(svg, r#"<path d="M0 {base:.1}H{WIDTH}"/>"#);
    let mut at = low;
    while at <= high + tick / 2.0 {
        let _ = write!(
            svg,
            r#"<path d="M{0:.1} {base:.1}v4"/><text x="{0:.1}" y="{1:.1}" text-anchor="middle">{2}</text>"#,
            x(at),
            base + 18.0,
            number(at, tick)
        );
        at += tick;
    }
    // Names of lines that are close would lie on each other: the median's goes to the left of its line, p99's to the right.
    for (name, q, anchor, shift) in [("p50", 0.5, "end", -3.0), ("p99", 0.99, "start", 3.0)] {
        let place = x(latency.quantile(q));
        let (anchor, shift) = match place {
            near if near < 40.0 && q < 0.9 => ("end", -3.0_f64.max(near - 12.0)),
            far if far > WIDTH - 30.0 && q > 0.9 => ("end", -3.0),
            _ => (anchor, shift),
        };
        let _ = write!(
            svg,
            r#"<path class="mark" d="M{place:.1} {HEAD_ROOM}V{base:.1}"/><text class="mark" x="{:.1}" y="12" text-anchor="{anchor}">{name}</text>"#,
            place + shift
        );
    }
    svg.push_str("</svg>");
    svg
}

fn number(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 1_000.0 { 0.0 } else { value };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}{}", if value == 0.0 { " ms" } else { "" })
}

const HEAD: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>callgate replay</title><style>
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6673; --paper: #fbfaf7; --line: #d8d4ca; --bar: #2f6f8f; --mark: #b3541e; --good: #2c6e49; --bad: #a8321f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e3dc; --soft: #a3a9b3; --paper: #171a1f; --line: #3a3f48; --bar: #6fb1d1; --mark: #f0a070; --good: #7cc79b; --bad: #f08a78; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.verdict { font-weight: 600; margin: 0; } .good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; } .text { font-size: .85rem; }
table:not(.text) th + th, table:not(.text) td + td { text-align: right; font-variant-numeric: tabular-nums; padding-right: 0; }
figure { margin: 1.8rem 0; } figcaption { margin-bottom: .2rem; } svg { width: 100%; display: block; }
rect { fill: var(--bar); } path { stroke: var(--line); fill: none; } path.mark { stroke: var(--mark); stroke-dasharray: 3 3; }
text { fill: var(--soft); font-size: 11px; } text.mark { fill: var(--mark); }
</style></head><body><main>"#;

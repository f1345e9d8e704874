//! Draws the chart. For each measurement, the chart compares CPU times with the CPU time of the hand-written loop, which is called the
//! limit. The chart shows the ratio for pg-wire and for each other library.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::line::Who;
use crate::measure::Measured;

/// The path of the chart, from the root of the work tree.
pub(crate) const FILE: &str = "xtask/bench/chart.svg";

const LABELS: f64 = 290.0;
const PLOT: f64 = 560.0;
const ROW: f64 = 20.0;
const TOP: f64 = 82.0;

/// The ends of the chart's logarithmic axis. A ratio outside this range is drawn at the nearest end. A ratio is a library's CPU time
/// divided by the CPU time of the hand-written loop.
const MIN_RATIO: f64 = 0.5;
const MAX_RATIO: f64 = 64.0;

/// The colour of each library in the chart. All colours can be distinguished on a white and on a black background.
const COLOURS: [(&str, &str); 14] = [
    ("pg-wire", "#2f81f7"),
    ("postgres-protocol", "#d29922"),
    ("tokio-postgres", "#39c5cf"),
    ("pgwire", "#a371f7"),
    ("pg_stream", "#3fb950"),
    ("sqlx", "#f85149"),
    ("xitca-postgres", "#db61a2"),
    ("libpq", "#8b949e"),
    ("PgBouncer", "#e3795c"),
    ("pg_walstream", "#7ee787"),
    ("pgwire-replication", "#ffa657"),
    ("pg_recvlogical", "#a5a58d"),
    ("postgres-types", "#e3b341"),
    ("asyncpg", "#56d4dd"),
];

/// Writes the chart to a file.
pub(crate) fn write(results: &[Measured], file: &Path) -> Result<()> {
    fs::write(file, draw(results)?).with_context(|| file.display().to_string())?;
    eprintln!("bench: wrote {}", file.display());
    Ok(())
}

/// The lock file of the benchmark, which has the version of each library.
const LOCK: &str = include_str!("../Cargo.lock");

/// The name of a library and the library's version from the lock file. libpq and programs such as PgBouncer are not in the lock file, so
/// their label is only the name.
fn label(name: &str) -> String {
    let mut packages =
        LOCK.split("[[package]]\n").map(|package| package.lines().map(|line| line.split_once(" = ")));
    let version = packages.find_map(|mut lines| {
        let is_name = lines.next()?? == ("name", &format!("{name:?}"));
        let version = lines.next()??.1;
        // A package of this project also has a version in the lock file, but no source. The label of such a package has no version.
        let is_library = lines.next().flatten().is_some_and(|(key, _)| key == "source");
        (is_name && is_library).then(|| version.trim_matches('"'))
    });
    version.map_or(name.to_owned(), |version| format!("{name} {version}"))
}

fn colour(name: &str) -> &'static str {
    let found = COLOURS.iter().find(|(known, _)| *known == name);
    found.map_or("#8b949e", |(_, colour)| colour)
}

/// The horizontal position of a ratio on the axis.
fn across(ratio: f64) -> f64 {
    let ratio = ratio.clamp(MIN_RATIO, MAX_RATIO);
    LABELS + PLOT * (ratio / MIN_RATIO).log2() / (MAX_RATIO / MIN_RATIO).log2()
}

fn draw(results: &[Measured]) -> Result<String> {
    let rows: Vec<_> = results
        .iter()
        .filter_map(|result| Some((result, result.of(Who::Limit)?, result.of(Who::Ours)?)))
        .collect();
    let (width, height) = (LABELS + PLOT + 30.0, TOP + ROW * rows.len() as f64 + 40.0);
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"CPU time as a multiple of a hand-written loop\">"
    )?;
    // The colours of the text and the axis follow the reader's light or dark colour scheme, so the chart leaves the background to the page.
    svg.push_str(
        "<style>text{font:12px system-ui,sans-serif;fill:#24292f}.axis{stroke:#d0d7de}.limit{stroke:#24292f}\
         @media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#30363d}.limit{stroke:#e6edf3}}</style>\n",
    );
    writeln!(
        svg,
        "<text x=\"8\" y=\"18\">CPU time, as a multiple of a hand-written loop over the same bytes (less is better); \
         client and server on two CPUs, except lines with “one CPU”</text>"
    )?;
    let (mut x, mut y) = (8.0, 36.0);
    for (name, colour) in COLOURS.iter().filter(|(name, _)| seen(results, name)) {
        let label = label(name);
        let next = x + 26.0 + 7.0 * label.len() as f64;
        if next > width {
            (x, y) = (8.0, y + 18.0);
        }
        writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{label}</text>",
            x + 9.0,
            y + 4.0
        )?;
        x += 26.0 + 7.0 * label.len() as f64;
    }
    let bottom = height - 30.0;
    for power in -1..=6 {
        let ratio = 2_f64.powi(power);
        let (x, class) = (across(ratio), if power == 0 { "limit" } else { "axis" });
        writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\"/>",
            TOP - 10.0
        )?;
        writeln!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{ratio}×</text>", bottom + 16.0)?;
    }
    for (index, (result, limit, ours)) in rows.into_iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABELS - 12.0,
            y + 4.0,
            escape(&result.name)
        )?;
        for outcome in result.outcomes.iter().filter(|outcome| matches!(outcome.who, Who::Peer(_))) {
            let x = across(Measured::ratio(outcome, limit).median);
            writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"4\" fill=\"{}\" fill-opacity=\"0.8\"/>",
                colour(outcome.who.name())
            )?;
        }
        let x = across(Measured::ratio(ours, limit).median);
        writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{}\"/>",
            x - 5.0,
            y - 5.0,
            colour("pg-wire")
        )?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn seen(results: &[Measured], name: &str) -> bool {
    results.iter().flat_map(|result| &result.outcomes).any(|outcome| outcome.who.name() == name)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

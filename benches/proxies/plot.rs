//! The plot: horizontal bars, one group per scenario, drawn as plain SVG.

use crate::contenders::TRACEGATE;
use crate::report::{Row, Table};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 140.0;
/// Longest bar; the rest of the width is for labels.
const LONGEST: f64 = 460.0;
const BAR: f64 = 22.0;
const STEP: f64 = 30.0;
const GROUP: f64 = 52.0;
const TOP: f64 = 70.0;

/// The whole picture; bars of all groups share one scale.
pub fn draw(tables: &[Table]) -> String {
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    let height = TOP + tables.len() as f64 * GROUP + rows as f64 * STEP + 20.0;
    let most = tables
        .iter()
        .flat_map(|table| &table.rows)
        .map(|row| row.cost[2])
        .fold(1e-9, f64::max);
    let scale = LONGEST / most;
    let mut svg = String::new();
    let mut put = |text: std::fmt::Arguments<'_>| svg.push_str(&text.to_string());
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"14\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"32\" font-size=\"20\" font-weight=\"bold\">CPU time per request</text>\n\
         <text x=\"20\" y=\"54\" fill=\"#666\">microseconds, median of interleaved rounds (whisker: least to most); \
         one worker on one core; shorter is better</text>\n"
    ));
    let mut y = TOP;
    for table in tables {
        y += GROUP;
        let bar = table.bar.zip(table.haproxy);
        let note = bar.map_or(String::new(), |(bar, _)| {
            format!("(dashed: {bar:.1} \u{d7} HAProxy)")
        });
        put(format_args!(
            "<text x=\"20\" y=\"{}\" font-weight=\"bold\">{}<tspan dx=\"6\" font-weight=\"normal\" fill=\"#c92a2a\">{note}</tspan></text>\n",
            y - 12.0,
            escape(table.title)
        ));
        let lines = || {
            table
                .rows
                .iter()
                .enumerate()
                .map(|(at, row)| (row, y + at as f64 * STEP))
        };
        for (row, y) in lines() {
            let colour = if row.name == TRACEGATE {
                "#0b7285"
            } else {
                "#adb5bd"
            };
            put(format_args!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n",
                row.cost[0] * scale
            ));
        }
        if let Some((bar, haproxy)) = bar {
            let x = LEFT + bar * haproxy * scale;
            let end = y + table.rows.len() as f64 * STEP - 4.0;
            put(format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{end}\" stroke=\"#c92a2a\" stroke-dasharray=\"4 3\"/>\n",
                y - 4.0
            ));
        }
        for (row, y) in lines() {
            put(format_args!("{}", labels(table, row, y + BAR / 2.0, scale)));
        }
        y += table.rows.len() as f64 * STEP;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Name, whisker and figure of a bar whose middle is at `y`; a white edge keeps the figure legible.
fn labels(table: &Table, row: &Row, y: f64, scale: f64) -> String {
    let [cost, least, most] = row.cost.map(|cost| LEFT + cost * scale);
    let ratio = table.haproxy.map_or(String::new(), |haproxy| {
        format!(" ({:.2} \u{d7} HAProxy)", row.cost[0] / haproxy)
    });
    format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
         <line x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#222\"/>\n\
         <text x=\"{:.1}\" y=\"{}\" stroke=\"#fff\" stroke-width=\"5\" paint-order=\"stroke\">{:.2}{ratio}</text>\n",
        LEFT - 10.0,
        y + 5.0,
        escape(row.name),
        most.max(cost) + 10.0,
        y + 5.0,
        row.cost[0]
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

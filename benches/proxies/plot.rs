//! The plot: horizontal bars, one group per scenario, drawn as plain SVG.

use crate::contenders::TRACEGATE;
use crate::report::Table;

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
        put(format_args!(
            "<text x=\"20\" y=\"{}\" font-weight=\"bold\">{}</text>\n",
            y - 14.0,
            escape(table.title)
        ));
        let top = y;
        for row in &table.rows {
            let [cost, least, greatest] = row.cost.map(|cost| cost * scale);
            let colour = if row.name == TRACEGATE {
                "#0b7285"
            } else {
                "#adb5bd"
            };
            let middle = y + BAR / 2.0;
            let ratio = table.haproxy.map_or(String::new(), |haproxy| {
                format!("  ({:.2} \u{d7} HAProxy)", row.cost[0] / haproxy)
            });
            put(format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y}\" width=\"{cost:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#222\"/>\n\
                 <text x=\"{:.1}\" y=\"{}\">{:.2}{ratio}</text>\n",
                LEFT - 10.0,
                middle + 5.0,
                escape(row.name),
                LEFT + least,
                LEFT + greatest,
                LEFT + greatest.max(cost) + 8.0,
                middle + 5.0,
                row.cost[0],
            ));
            y += STEP;
        }
        if let (Some(bar), Some(haproxy)) = (table.bar, table.haproxy) {
            let x = LEFT + bar * haproxy * scale;
            put(format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"#c92a2a\" stroke-dasharray=\"4 3\"/>\n\
                 <text x=\"{x:.1}\" y=\"{}\" font-size=\"12\" fill=\"#c92a2a\" text-anchor=\"middle\">bar: {bar:.1} \u{d7}</text>\n",
                top - 4.0,
                y - 4.0,
                top - 8.0,
            ));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

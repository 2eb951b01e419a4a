//! What standard output is: how wide, and whether it wants colours.

use std::io::{IsTerminal, stdout};

use rustix::termios::tcgetwinsize;

use super::line::Style;

/// Columns where nobody says how many there are.
const USUAL: usize = 100;
/// Below this nothing is legible any more.
const LEAST: usize = 40;

/// The style of standard output: colours on a terminal alone, unless `NO_COLOR` or a dumb
/// terminal says no; its width, or that of `COLUMNS`.
pub fn style() -> Style {
    let output = stdout();
    let terminal = output.is_terminal();
    let size = tcgetwinsize(&output).ok().filter(|_| terminal);
    choose(terminal, size.map(|size| size.ws_col), |name| {
        std::env::var(name).ok()
    })
}

fn choose(
    terminal: bool,
    columns: Option<u16>,
    variable: impl Fn(&str) -> Option<String>,
) -> Style {
    let said = variable("COLUMNS").and_then(|text| text.parse().ok());
    let measured = columns.map(usize::from).filter(|columns| *columns > 0);
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|value| value == "dumb");
    Style {
        width: measured.or(said).unwrap_or(USUAL).max(LEAST),
        colour: terminal && !refused && !dumb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        for (terminal, variables, colour, why) in [
            (true, &[][..], true, "a terminal"),
            (false, &[], false, "a file or a pipe"),
            (true, &[("NO_COLOR", "1")], false, "the user said no"),
            (
                true,
                &[("NO_COLOR", "")],
                true,
                "empty is unset (no-color.org)",
            ),
            (true, &[("TERM", "dumb")], false, "it can't"),
        ] {
            assert_eq!(chosen(terminal, None, variables).colour, colour, "{why}");
        }
    }

    #[test]
    fn the_terminal_knows_its_width_best() {
        for (columns, variables, width) in [
            (Some(120), &[("COLUMNS", "90")][..], 120),
            (Some(0), &[("COLUMNS", "90")], 90),
            (None, &[("COLUMNS", "wide")], USUAL),
            (Some(7), &[], LEAST),
        ] {
            assert_eq!(chosen(true, columns, variables).width, width);
        }
    }

    fn chosen(terminal: bool, columns: Option<u16>, variables: &[(&str, &str)]) -> Style {
        choose(terminal, columns, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }
}

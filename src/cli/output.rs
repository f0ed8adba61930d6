//! What a command prints: tables for people, JSON or bare words for scripts.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use prost::{Message, Name};

use super::exit::Failure;
use super::json::to_json;
use super::text::plain;

/// The flags that choose the form.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// Print JSON, as the HTTP API answers it. Errors are one line of JSON on standard error.
    #[arg(long, global = true, conflicts_with = "quiet", help_heading = "Output")]
    pub(super) json: bool,
    /// Print only what a script needs: the new secret, or ids, one a line.
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    form: Form,
    look: Look,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Table,
    Json,
    Bare,
}

/// How a table may look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether states are coloured and headings bold.
    colours: bool,
    /// Whether rows are fitted to a terminal's width. A pipe gets them whole.
    fitted: bool,
}

/// How good a word is, for its colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mood {
    Good,
    Waiting,
    Bad,
}

/// Names and values of one thing, or rows of several.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    header: Vec<&'static str>,
    rows: Vec<Vec<(String, Option<Mood>)>>,
}

impl Output {
    pub(super) fn new(args: OutputArgs) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let form = match args {
            OutputArgs { json: true, .. } => Form::Json,
            OutputArgs { quiet: true, .. } => Form::Bare,
            _ => Form::Table,
        };
        Self { form, look: Look { colours: terminal && !no_colour, fitted: terminal } }
    }

    /// Prints a result in the form that was asked for: the message as JSON, the rows as a table, or the bare words.
    pub(super) fn result<M: Message + Name>(
        self,
        message: &M,
        rows: impl FnOnce() -> Rows,
        bare: impl IntoIterator<Item = String>,
    ) -> Result<(), Failure> {
        match self.form {
            Form::Json => print(&to_json(message)?),
            Form::Table => print(&rows().to_table(self.look)),
            Form::Bare => bare.into_iter().try_for_each(|word| print(&word)),
        }
    }

    /// Tells people something beside the result, on standard error.
    pub(super) fn note(self, text: &str) {
        if self.form == Form::Table {
            // Nothing is left to tell if even this cannot be written.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

impl Rows {
    /// Rows under these headings.
    pub(super) fn under(header: impl IntoIterator<Item = &'static str>) -> Self {
        Self { header: header.into_iter().collect(), rows: Vec::new() }
    }

    /// Names and values of one thing.
    pub(super) fn record() -> Self {
        Self::default()
    }

    /// Adds a row.
    pub(super) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| (cell, None)).collect());
    }

    /// Colours the cell last added to this column.
    pub(super) fn mood(&mut self, column: usize, mood: Option<Mood>) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.get_mut(column)) {
            cell.1 = mood;
        }
    }

    /// Adds a name and its value, unless there is none.
    pub(super) fn field(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.push([format!("{name}:"), value]);
        }
    }

    fn to_table(&self, look: Look) -> String {
        if self.rows.is_empty() {
            return "(none)".to_owned();
        }
        let mut table = Table::new();
        table.load_style(NOTHING);
        let arrangement = if look.fitted { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        if look.colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if !self.header.is_empty() {
            table.set_header(self.header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, mood)| cell(text, *mood)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

/// Prints a line on standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(writeln!(out, "{text}").and_then(|()| out.flush())?)
}

fn cell(text: &str, mood: Option<Mood>) -> Cell {
    let cell = Cell::new(plain(text));
    match mood {
        Some(Mood::Good) => cell.fg(Color::Green),
        Some(Mood::Waiting) => cell.fg(Color::Yellow),
        Some(Mood::Bad) => cell.fg(Color::Red),
        None => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::under(["ID", "STATE", "NAME"]);
        rows.push(["key_1", "ACTIVE", "shop"].map(str::to_owned));
        rows.mood(1, Some(Mood::Good));
        rows.push(["key_2", "REVOKED", "a\x1b[2Jb"].map(str::to_owned));
        rows.mood(1, Some(Mood::Bad));
        rows
    }

    #[test]
    fn a_pipe_gets_plain_columns() {
        let text = rows().to_table(Look { colours: false, fitted: false });
        assert_eq!(text, "ID     STATE    NAME\nkey_1  ACTIVE   shop\nkey_2  REVOKED  a\u{fffd}[2Jb");
    }

    #[test]
    fn a_terminal_gets_colours_but_none_that_others_wrote() {
        let text = rows().to_table(Look { colours: true, fitted: false });
        assert!(text.contains("\x1b[38;5;10mACTIVE") || text.contains("\x1b[32mACTIVE"), "{text:?}");
        assert!(!text.contains("\x1b[2J"), "{text:?}");
    }

    #[test]
    fn a_record_leaves_out_what_is_not_there() {
        let mut record = Rows::record();
        record.field("id", "key_1");
        record.field("alias", "");
        record.field("description", "for the shop");
        let text = record.to_table(Look { colours: false, fitted: false });
        assert_eq!(text, "id:           key_1\ndescription:  for the shop");
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(Rows::under(["ID"]).to_table(Look { colours: false, fitted: true }), "(none)");
    }
}

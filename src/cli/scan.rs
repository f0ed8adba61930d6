//! `gatepost scan`: finding credentials of Gatepost in files, without a server.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use walkdir::{DirEntry, WalkDir};

use super::exit::{Exit, Failure};
use super::text::plain;
use crate::domain::secret_search::{Finding, SecretSearch};

/// Find keys, tokens and other secrets of Gatepost in files. Needs no server.
///
/// A secret is known by its form and its checksum, with whichever prefix, in text of any kind, in UTF-16 and in binary files.
/// What is printed says where it is and how to recognise it, and never the secret. Directories are searched with all that is
/// in them, hidden and ignored files too; links in them are not followed, and the objects of git, which are compressed, are
/// passed over. Exit code 0 means that nothing was found, 1 that something was, 2 that something could not be read.
#[derive(Args, Clone, Debug)]
pub(super) struct ScanArgs {
    /// Files and directories; `-` is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Pass over files that are larger than this many MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    max_size: u64,
    /// Print one JSON object a line, on standard output for what was found and on standard error for what went wrong.
    #[arg(long)]
    json: bool,
}

/// What came of it so far.
#[derive(Debug, Default)]
struct Report {
    /// Files that were read to their end.
    read: u64,
    /// Secrets that were found.
    found: u64,
    /// Files that are larger than they may be.
    skipped: u64,
    /// Files and directories that could not be read.
    failed: u64,
}

impl ScanArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut report = Report::default();
        let mut piece = vec![0; PIECE];
        let mut out = io::BufWriter::new(io::stdout().lock());
        let done = self.search(&mut report, &mut piece, &mut out).and_then(|()| out.flush());
        match done {
            // Whoever reads this, `head` or `grep -q`, has seen something that was found.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Failed),
            Err(error) => return Err(Failure::new(Exit::Usage, format!("the output cannot be written: {error}"))),
            Ok(()) => {}
        }
        self.sum_up(&report);
        Ok(report.exit())
    }

    /// The form of errors.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Fails where what was found cannot be told. What cannot be read is told and counted.
    fn search(&self, report: &mut Report, piece: &mut [u8], out: &mut impl Write) -> io::Result<()> {
        for path in &self.paths {
            if path == Path::new("-") {
                self.search_in(path, io::stdin().lock(), report, piece, out)?;
                continue;
            }
            for entry in WalkDir::new(path).sort_by_file_name().into_iter().filter_entry(|entry| !is_git_objects(entry))
            {
                match entry {
                    Ok(entry) => self.search_entry(&entry, report, piece, out)?,
                    Err(error) => {
                        let path = error.path().unwrap_or(path);
                        // Its own words name the path once more.
                        let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                        self.fail(path, &why, report);
                    }
                }
            }
        }
        Ok(())
    }

    fn search_entry(
        &self,
        entry: &DirEntry,
        report: &mut Report,
        piece: &mut [u8],
        out: &mut impl Write,
    ) -> io::Result<()> {
        // A link that was named itself is followed. Pipes and devices inside a directory have no end.
        let metadata =
            if entry.depth() == 0 { std::fs::metadata(entry.path()) } else { entry.path().symlink_metadata() };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                self.fail(entry.path(), &error.to_string(), report);
                return Ok(());
            }
        };
        if metadata.is_dir() || !metadata.is_file() && entry.depth() > 0 {
            return Ok(());
        }
        if metadata.len() > self.max_size.saturating_mul(MIB) {
            report.skipped += 1;
            return Ok(());
        }
        match File::open(entry.path()) {
            Ok(file) => self.search_in(entry.path(), file, report, piece, out),
            Err(error) => {
                self.fail(entry.path(), &error.to_string(), report);
                Ok(())
            }
        }
    }

    fn search_in(
        &self,
        path: &Path,
        mut input: impl Read,
        report: &mut Report,
        piece: &mut [u8],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut search = SecretSearch::new();
        let mut told = Ok(());
        let mut tell = |finding: Finding| {
            report.found += 1;
            let line = if self.json { as_json(path, &finding) } else { as_line(path, &finding) };
            if told.is_ok() {
                told = writeln!(out, "{line}");
            }
        };
        let ended = loop {
            match input.read(piece) {
                Ok(0) => break Ok(()),
                Ok(length) => search.feed(&piece[..length], &mut tell),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        search.finish(&mut tell);
        match ended {
            Ok(()) => report.read += 1,
            Err(error) => self.fail(path, &error.to_string(), report),
        }
        told
    }

    fn fail(&self, path: &Path, why: &str, report: &mut Report) {
        report.failed += 1;
        let path = path.to_string_lossy();
        let line = match self.json {
            true => json!({"path": path, "error": why}).to_string(),
            false => format!("error: {}: {}", plain(&path), plain(why)),
        };
        // Nothing is left to tell if even this cannot be written.
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn sum_up(&self, report: &Report) {
        let Report { read, found, skipped, failed } = report;
        let line = match self.json {
            true => json!({"read": read, "found": found, "skipped": skipped, "failed": failed}).to_string(),
            false => format!(
                "{found} found in {read} files; {skipped} over {} MiB passed over, {failed} could not be read",
                self.max_size
            ),
        };
        let _ = writeln!(io::stderr(), "{line}");
    }
}

impl Report {
    fn exit(&self) -> Exit {
        match self {
            Self { failed: 1.., .. } => Exit::Usage,
            Self { found: 1.., .. } => Exit::Failed,
            _ => Exit::Done,
        }
    }
}

/// What is in there is compressed.
fn is_git_objects(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.path().ends_with(".git/objects")
}

fn as_line(path: &Path, finding: &Finding) -> String {
    let Finding { line, column, kind, environment, hint, .. } = finding;
    let path = path.to_string_lossy();
    format!("{}:{line}:{column}: {} ({environment}) {hint}", plain(&path), kind.noun())
}

fn as_json(path: &Path, finding: &Finding) -> String {
    let Finding { line, column, kind, environment, hint, .. } = finding;
    json!({
        "path": path.to_string_lossy(),
        "line": line,
        "column": column,
        "type": kind.as_str(),
        "environment": environment.as_str(),
        "hint": hint,
    })
    .to_string()
}

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;
const MIB: u64 = 1024 * 1024;

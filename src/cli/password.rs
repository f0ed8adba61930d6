//! A password that somebody types or pipes in. Never an argument: those are seen by everyone on the machine and kept in the
//! shell's history.

use std::io::{self, BufRead, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::exit::Failure;

/// Reads a new password: a line of standard input, which is not shown where it is typed.
pub(super) fn read() -> Result<Zeroizing<String>, Failure> {
    let input = io::stdin();
    if !input.is_terminal() {
        return line(input.lock());
    }
    eprint!("New password: ");
    let password = {
        let _hidden = Hidden::begin();
        line(input.lock())
    };
    eprintln!();
    password
}

fn line(input: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    // Its room is taken at once: what grows is copied, and the copies are not wiped.
    let mut text = Zeroizing::new(String::with_capacity(MAX as usize));
    let read = input.take(MAX).read_line(&mut text);
    read.map_err(|error| Failure::usage(format!("the password cannot be read: {error}")))?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    if text.is_empty() {
        return Err(Failure::usage("there is no password").hint("pipe it in, or type it when asked"));
    }
    Ok(text)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            // Where it cannot be hidden it can still be typed.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &hidden);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// More than the longest password takes.
const MAX: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_password() {
        for (input, wanted) in [("a b \n", "a b "), ("x\r\ny", "x"), ("x", "x")] {
            assert_eq!(*line(input.as_bytes()).unwrap(), wanted);
        }
        for nothing in ["", "\n", "\r\n"] {
            assert!(line(nothing.as_bytes()).is_err(), "{nothing:?}");
        }
    }
}

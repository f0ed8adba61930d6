//! The credential that a command is about. It comes over standard input or the environment: an argument is seen by everyone on the
//! machine and kept in the shell's history.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};

use zeroize::Zeroizing;

use super::exit::Failure;

/// Reads the credential. `argument` is what stands where it would be expected: `-`, nothing, or the mistake.
pub(super) fn read(argument: Option<&str>, command: &str) -> Result<Zeroizing<String>, Failure> {
    let variable = std::env::var_os(VARIABLE);
    if argument.is_none() && variable.is_none() && io::stdin().is_terminal() {
        eprintln!("Paste the credential, then press Enter:");
    }
    choose(argument, variable, io::stdin().lock(), command)
}

fn choose(
    argument: Option<&str>,
    variable: Option<OsString>,
    input: impl BufRead,
    command: &str,
) -> Result<Zeroizing<String>, Failure> {
    let next = || format!("pipe it in: `gatepost {command} - < FILE`, or set {VARIABLE}");
    let text = match (argument, variable) {
        (None, Some(text)) => {
            Zeroizing::new(text.into_string().map_err(|_| Failure::usage(format!("{VARIABLE} must be text in UTF-8")))?)
        }
        (None | Some("-"), _) => line(input)?,
        (Some(_), _) => {
            return Err(
                Failure::usage("a credential must not stand on the command line, where others can see it").hint(next())
            );
        }
    };
    let text = Zeroizing::new(text.trim().to_owned());
    if text.is_empty() {
        return Err(Failure::usage("there is no credential").hint(next()));
    }
    Ok(text)
}

fn line(input: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = input.take(MAX).read_line(&mut text);
    read.map_err(|error| Failure::usage(format!("the credential cannot be read: {error}")))?;
    Ok(text)
}

const VARIABLE: &str = "GATEPOST_CREDENTIAL";

/// Twice what the server takes.
const MAX: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::*;

    #[test]
    fn a_credential_comes_from_input_or_environment_and_never_from_an_argument() {
        let read = |argument, variable: Option<&str>| {
            choose(argument, variable.map(OsString::from), "piped\nx".as_bytes(), "keys verify")
        };
        assert_eq!(*read(Some("-"), None).unwrap(), "piped");
        assert_eq!(*read(None, None).unwrap(), "piped");
        assert_eq!(*read(None, Some("set")).unwrap(), "set");
        assert_eq!(*read(Some("-"), Some("set")).unwrap(), "piped");
        let failure = read(Some("sk_live_hunter2"), None).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert!(choose(Some("-"), None, "\n".as_bytes(), "keys verify").is_err());
    }
}

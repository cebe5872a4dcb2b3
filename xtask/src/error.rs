//! The one error of this command: a sentence for a person and the exit code that goes with it.

use std::fmt;

/// The result of everything here that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in words, and who has to act.
#[derive(Debug)]
pub(crate) struct Error {
    blame: Blame,
    message: String,
}

impl Error {
    /// The command line is wrong: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { blame: Blame::Caller, message: message.to_string() }
    }

    /// A file, a program or the kernel failed us: exit code 3.
    pub(crate) fn outside(message: impl fmt::Display) -> Self {
        Self { blame: Blame::Outside, message: message.to_string() }
    }

    /// Somebody pressed Ctrl-C or sent SIGTERM: exit code 130.
    pub(crate) fn interrupted() -> Self {
        Self { blame: Blame::Interrupt, message: "interrupted".to_owned() }
    }

    /// Returns true for an interrupt, after which nothing more is to be started.
    pub(crate) fn is_interrupt(&self) -> bool {
        matches!(self.blame, Blame::Interrupt)
    }

    /// Returns the exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.blame {
            Blame::Caller => 2,
            Blame::Outside => 3,
            Blame::Interrupt => 130,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error)
    }
}

/// Adds what was attempted to an error that only says what the kernel answered.
pub(crate) trait Context<T> {
    /// Turns any failure into an outside one that begins with `attempt`.
    fn context(self, attempt: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::outside(format!("{}: {error}", attempt())))
    }
}

#[derive(Debug)]
enum Blame {
    Caller,
    Outside,
    Interrupt,
}

//! Why a command did not succeed, and the exit code that says so.

use crate::config::LoadError;

/// A message for a person, and whose fault it is.
#[derive(Debug)]
pub(crate) struct Failure {
    blame: Blame,
    message: String,
    /// Each line of the message tells of its own place and needs no lead.
    is_located: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Answer,
    Input,
    Outside,
    Interrupt,
    /// The command that was run ended with this code, which is handed on.
    Command(u8),
}

impl Failure {
    /// It ran, and the answer is no.
    pub(crate) fn answer(message: impl Into<String>) -> Self {
        Self { blame: Blame::Answer, message: message.into(), is_located: false }
    }

    /// The command line or the configuration is wrong.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { blame: Blame::Input, message: message.into(), is_located: false }
    }

    /// Something that is not ours failed.
    pub(crate) fn outside(message: impl Into<String>) -> Self {
        Self { blame: Blame::Outside, message: message.into(), is_located: false }
    }

    /// The operator did not want to wait.
    pub(crate) fn interrupt(message: impl Into<String>) -> Self {
        Self { blame: Blame::Interrupt, message: message.into(), is_located: false }
    }

    /// A command that was run for the operator did not succeed.
    pub(crate) fn of_command(code: u8, message: impl Into<String>) -> Self {
        Self { blame: Blame::Command(code), message: message.into(), is_located: false }
    }

    /// Adds what else has to be known.
    #[must_use]
    pub(crate) fn with(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    pub(crate) fn code(&self) -> u8 {
        match self.blame {
            Blame::Answer => 1,
            Blame::Input => 2,
            Blame::Outside => 3,
            Blame::Interrupt => 130,
            Blame::Command(code) => code,
        }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn is_located(&self) -> bool {
        self.is_located
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let is_located = matches!(error, LoadError::Invalid(_));
        Self { blame: Blame::Input, message: error.to_string(), is_located }
    }
}

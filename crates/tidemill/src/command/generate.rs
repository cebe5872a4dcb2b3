//! `tidemill completions` and `tidemill man`: rendered from the definition of the commands.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{Failure, Output, definition};

/// Print a shell's completions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidemill completions bash > /etc/bash_completion.d/tidemill")]
pub(super) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Print the manual, or write a page for each command
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidemill man | man -l -\n  tidemill man --out /usr/share/man/man1"
)]
pub(super) struct ManArguments {
    /// Write tidemill.1 and a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn completions(
    arguments: &CompletionsArguments,
    output: &Output,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut definition(), "tidemill", &mut script);
    output.bytes(&script);
    Ok(())
}

pub(super) fn man(arguments: &ManArguments, output: &Output) -> Result<(), Failure> {
    let mut pages = Vec::new();
    let mut command = definition();
    command.build();
    push_pages(&command, "tidemill", &mut pages);
    let Some(folder) = &arguments.out else {
        for (_, page) in pages {
            output.bytes(&page);
        }
        return Ok(());
    };
    for (name, page) in pages {
        let path = folder.join(format!("{name}.1"));
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, page)).map_err(|error| {
            Failure::outside(format!("cannot write {}: {error}", path.display()))
        })?;
    }
    Ok(())
}

fn push_pages(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().name(name.to_owned()))
        .title(name.to_uppercase())
        .render(&mut page)
        .expect("writing to memory cannot fail");
    pages.push((name.to_owned(), page));
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        push_pages(subcommand, &format!("{name}-{}", subcommand.get_name()), pages);
    }
}

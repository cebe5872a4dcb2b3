//! `tidemill mcp`: tools for agents on stdin and stdout.

use clap::Args;

use super::task::block_on;
use super::{Common, Failure};
use crate::mcp;

/// Serve tasks, shared memory and metrics to an agent (MCP on stdin and stdout)
///
/// An agent's client starts this itself. Works through the node where one serves the workspace,
/// and on the store where none does.
#[derive(Debug, Args)]
#[command(after_help = "Example, for a client that reads `mcpServers`:\n  \
                  {\"mcpServers\": {\"tidemill\": {\"command\": \"tidemill\", \"args\": [\"mcp\"]}}}")]
pub(super) struct Arguments {}

pub(super) fn run(common: &Common, _arguments: &Arguments) -> Result<(), Failure> {
    block_on(mcp::serve(common.clone()))
}

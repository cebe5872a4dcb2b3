//! `tidemill mcp`: tasks, shared memory and metrics as tools for agents, on stdin and stdout.
//!
//! ```text
//! client -- JSON-RPC lines --> rmcp --> tool (tools.rs) --> one request to the API (desk.rs)
//! ```
//!
//! Each call finds the workspace anew: a node that serves it is asked, otherwise the store is
//! opened for this one call. So several agents and a node may come and go beside each other;
//! nothing is held between two calls. What goes wrong is a result marked as an error, with the
//! status, the reason and what to do next; only an unknown tool is an error of the protocol.
//!
//! At most [`CALLS_MAX`] calls run at a time, further ones wait.

mod tools;

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::ServiceExt as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::command::{Common, Failure};
use tools::TOOLS;

/// Serves until the client closes its end.
///
/// # Errors
///
/// When the client does not speak the protocol.
pub(crate) async fn serve(common: Common) -> Result<(), Failure> {
    let server = Server { common: Arc::new(common), calls: Semaphore::new(CALLS_MAX) };
    let running = server.serve(rmcp::transport::stdio()).await.map_err(|error| {
        Failure::outside(format!("the client did not begin as MCP clients do: {error}"))
    })?;
    running
        .waiting()
        .await
        .map_err(|error| Failure::outside(format!("the server broke off: {error}")))?;
    Ok(())
}

struct Server {
    common: Arc<Common>,
    calls: Semaphore,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("tidemill", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.iter().map(tools::Tool::describe).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = TOOLS.iter().find(|tool| tool.name == request.name) else {
            let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
            let message = format!("no tool is called `{}`; use {}", request.name, known.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        let _call = self.calls.acquire().await;
        let arguments = request.arguments.unwrap_or_default();
        let result = match tool.call(&self.common, &arguments).await {
            Ok(value) => CallToolResult::structured(value),
            Err(refusal) => CallToolResult::structured_error(json!(refusal)),
        };
        Ok(result.into())
    }
}

const CALLS_MAX: usize = 4;

const INSTRUCTIONS: &str = "\
Tasks and shared memory of the workspace in the current folder. Before you work on a task, take it \
with claim_task under your own name and renew the lease before it ends; comment what you find, and \
set the status to done with update_task. Pass the `version` you read to update_task, so that nobody's \
change is lost: an error with status 412 means that somebody was faster; read the task again. \
Ids may be shortened to a prefix that is unique.";

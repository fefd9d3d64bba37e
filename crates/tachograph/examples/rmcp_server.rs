//! A real MCP server made with `rmcp`, over standard input and output: what `tests/e2e_rmcp.rs` wraps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "stands on the far side of a test"
)]

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};
use serde_json::json;

#[derive(Clone)]
struct Weather;

impl ServerHandler for Weather {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema: JsonObject = json!({ "type": "object" }).as_object().cloned().unwrap();
        let tools = ["echo", "fail"].map(|name| Tool::new(name, "scripted", schema.clone()));
        Ok(ListToolsResult::with_all_items(tools.into()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let text = arguments
            .get("text")
            .and_then(|text| text.as_str())
            .unwrap_or_default();
        let content = vec![ContentBlock::text(text)];
        Ok(match &*request.name {
            "echo" => CallToolResult::success(content),
            _ => CallToolResult::error(content),
        }
        .into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = Weather
        .serve(rmcp::transport::stdio())
        .await
        .expect("a client shakes hands");
    server.waiting().await.expect("the client leaves");
}

//! What an event says happened, who says so, and whether it was seen or told.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        $vis enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in the order of the schema.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The spelling in the event line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or(())
            }
        }
    };
}
pub(crate) use names;

names! {
    /// The kind of an event. A request kind opens a call, a response kind closes it.
    pub enum Kind {
        /// The recorder began: build identity, configuration digest, boot id, clock state.
        RecorderStart = "recorder.start",
        /// The recorder ended in good order.
        RecorderStop = "recorder.stop",
        /// What recovery found after an unclean end.
        RecorderRecovered = "recorder.recovered",
        /// Nothing happened for the heartbeat interval; the recorder was alive.
        Heartbeat = "heartbeat",
        /// CPU, memory, disk, connections, upstream latencies.
        Environment = "environment",
        /// The state of clock synchronisation.
        Clock = "clock",
        /// Something was not recorded, not covered or not understood.
        Gap = "gap",
        /// A run was seen for the first time.
        RunStart = "run.start",
        /// A run was joined to its parent after it began.
        RunLink = "run.link",
        /// A message history does not continue what was seen before.
        RunHistory = "run.history",
        /// A request to a model, durable before it is forwarded.
        ModelRequest = "model.request",
        /// The end of a model call.
        ModelResponse = "model.response",
        /// An MCP `tools/call`, durable before it is forwarded.
        ToolRequest = "tool.request",
        /// The end of an MCP `tools/call`.
        ToolResponse = "tool.response",
        /// Any other MCP request.
        McpRequest = "mcp.request",
        /// The end of any other MCP request.
        McpResponse = "mcp.response",
        /// An MCP message that is neither a client's request nor its answer.
        McpMessage = "mcp.message",
        /// Any other HTTP request to an upstream.
        HttpRequest = "http.request",
        /// The end of any other HTTP request.
        HttpResponse = "http.response",
        /// One WebSocket message of an upgraded connection.
        WebSocketMessage = "websocket.message",
        /// A wrapped process or stdio server started.
        ProcessStart = "process.start",
        /// A wrapped process or stdio server ended.
        ProcessExit = "process.exit",
        /// A key of the log began its epoch: facts hold the epoch and a note signed by it and by the key before it.
        KeyEpoch = "key.epoch",
        /// A key of the log does not count any more beyond a size of the log.
        KeyRevoked = "key.revoked",
        /// A volume of the vault is complete: facts hold its digest.
        VaultSealed = "vault.sealed",
        /// A time-stamp authority vouched for a checkpoint.
        AnchorTimestamp = "anchor.timestamp",
        /// A witness cosigned a checkpoint.
        AnchorWitness = "anchor.witness",
        /// A checkpoint was laid down in a second place.
        AnchorCopy = "anchor.copy",
        /// An anchor could not be had; it is tried again.
        AnchorFailed = "anchor.failed",
        /// At its start the recorder compared its log with what is known of it outside.
        AnchorChecked = "anchor.checked",
        /// This log goes on where another one had to be left: facts commit to what was found of it.
        LogSuccessor = "log.successor",
    }
}

impl Kind {
    /// The kind that closes a call which this kind opens.
    #[must_use]
    pub const fn closed_by(self) -> Option<Self> {
        match self {
            Self::ModelRequest => Some(Self::ModelResponse),
            Self::ToolRequest => Some(Self::ToolResponse),
            Self::McpRequest => Some(Self::McpResponse),
            Self::HttpRequest => Some(Self::HttpResponse),
            Self::ProcessStart => Some(Self::ProcessExit),
            _ => None,
        }
    }

    /// Whether this kind closes a call.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::ModelResponse
                | Self::ToolResponse
                | Self::McpResponse
                | Self::HttpResponse
                | Self::ProcessExit
        )
    }
}

names! {
    /// Which part of the recorder made the event.
    pub enum Source {
        /// The recorder itself.
        Recorder = "recorder",
        /// The HTTP data plane.
        Gateway = "gateway",
        /// A wrapped stdio MCP server (`tacho mcp`).
        McpStdio = "mcp-stdio",
        /// The process wrapper (`tacho run`).
        RunWrapper = "run-wrapper",
    }
}

names! {
    /// Whether the recorder saw it or was told it. The two never mix in one event.
    pub enum Basis {
        /// The recorder saw the bytes itself.
        Observed = "observed",
        /// Somebody claims it.
        Reported = "reported",
    }
}

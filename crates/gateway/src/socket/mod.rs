//! The local socket that wrappers (`tacho mcp`, `tacho run`) record through.

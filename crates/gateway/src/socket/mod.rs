//! The local socket, `DIR/recorder.sock`, that wrappers (`tacho mcp`, `tacho run`) record through.
//!
//! Append and acknowledge, nothing else: there is no frame that asks for anything recorded. The socket belongs to the user who
//! runs the recorder (mode 0600). What is acknowledged is durable, and only then may the wrapper let it take effect.

mod acknowledge;
mod arguments;
pub mod frame;
mod lines;
mod listener;
mod open;
mod session;
mod stderr;

pub use frame::{Ended, Frame, FrameError, Hello, PROTOCOL, Role, Welcome, Wire};
pub use listener::{BindError, FILE_NAME, Listener, Reach};
pub use session::acceptable_name;

//! Who a wrapper says it is, and whether it may.

use super::SessionError;
use crate::socket::acknowledge::send;
use crate::socket::frame::{Frame, Hello, PROTOCOL, Role, Wire};
use std::time::Duration;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How long a wrapper may take to say who it is.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Longest name of an agent or server in bytes.
const NAME_BYTES: usize = 128;

/// Waits for the greeting; one that is not acceptable is told why. `None`: it was a probe whether somebody answers.
pub(super) async fn greeted(
    wire: &mut Wire<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Result<Option<Hello>, SessionError> {
    let hello = match tokio::time::timeout(HELLO_PATIENCE, wire.next()).await {
        Ok(Ok(Some(Frame::Hello(hello)))) => hello,
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(_))) => {
            return Err(SessionError::Protocol("its first frame is no greeting"));
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(SessionError::Protocol("it did not greet in time")),
    };
    if let Err(why) = acceptable(&hello) {
        send(to, &Frame::Refused(why.to_owned())).await?;
        return Err(SessionError::Protocol(why));
    }
    Ok(Some(hello))
}

/// Whether an agent or a server may be called this: 1 to 128 bytes, no control characters.
#[must_use]
pub fn acceptable_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
}

fn acceptable(hello: &Hello) -> Result<(), &'static str> {
    let name = acceptable_name;
    if hello.protocol != PROTOCOL {
        return Err(
            "the wrapper and the recorder are of different versions; use the same `tacho` for both",
        );
    }
    if !name(&hello.agent) {
        return Err("the agent's name is empty, longer than 128 bytes, or has control characters");
    }
    match (hello.role, &hello.server) {
        (Role::Mcp, Some(server)) if name(server) => Ok(()),
        (Role::Run, None) => Ok(()),
        (Role::Mcp, _) => {
            Err("the server's name is empty, longer than 128 bytes, or has control characters")
        }
        (Role::Run, Some(_)) => Err("an agent's process has no server name"),
    }
}

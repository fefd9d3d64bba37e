//! Binding and serving the socket.

use super::session::Session;
use crate::Gateway;
use crate::context::Context;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Name of the socket in the data directory.
pub const FILE_NAME: &str = "recorder.sock";

/// Wrappers connected at a time; further ones wait in the kernel's queue.
const MAX_SESSIONS: usize = 512;

/// How long sessions have to be closed when the recorder stops.
const LAST_SESSIONS: Duration = Duration::from_secs(5);

/// Longest path that the kernel takes for a socket, in bytes (`sun_path` of unix(7), without its NUL).
const PATH_BYTES: usize = 107;

/// A way to a socket that the kernel takes, whatever the length of its path.
#[derive(Debug)]
pub struct Reach {
    path: PathBuf,
    /// Open for as long as `path` leads through it.
    _directory: Option<File>,
}

impl Reach {
    /// The way to `socket`: its own path, or, where that is too long, one through its opened directory.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn to(socket: &Path) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if socket.as_os_str().len() <= PATH_BYTES {
            return Ok(Self {
                path: socket.to_owned(),
                _directory: None,
            });
        }
        let directory = File::open(directory)?;
        let through = format!("/proc/self/fd/{}", directory.as_raw_fd());
        Ok(Self {
            path: Path::new(&through).join(name),
            _directory: Some(directory),
        })
    }

    /// The path to bind or connect to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Why the socket is not there.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers on it.
    #[error("another recorder answers on {path}")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{path} cannot be made: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
}

/// The bound socket. Removed when dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds `DIR/recorder.sock`, for the owner alone. A socket that nobody answers on is a remnant and is replaced.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(dir: &Path) -> Result<Self, BindError> {
        let path = dir.join(FILE_NAME);
        let io = |source| BindError::Io {
            path: path.clone(),
            source,
        };
        let reach = Reach::to(&path).map_err(io)?;
        match UnixStream::connect(reach.path()).await {
            Ok(_) => return Err(BindError::InUse { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs_err::remove_file(&path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        // Made under another name and renamed, so that it is never there with wider permissions.
        let making = dir.join(".recorder.sock");
        match fs_err::remove_file(&making) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let reach = Reach::to(&making).map_err(io)?;
        let listener = UnixListener::bind(reach.path()).map_err(io)?;
        fs_err::set_permissions(&making, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        fs_err::rename(&making, &path).map_err(io)?;
        Ok(Self { listener, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves wrappers until `shutdown` resolves; then ends every session. What is wrapped goes on and its wrapper waits
    /// for a recorder to come back.
    pub async fn serve(self, gateway: &Gateway, shutdown: impl Future<Output = ()> + Send) {
        let ctx = gateway.context();
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let places = Arc::new(Semaphore::new(MAX_SESSIONS));
        let accepting = async {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(one(
                            ctx.clone(),
                            stream,
                            stopping.clone(),
                            open.clone(),
                            place,
                        ));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the local socket could not be accepted");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
        drop(open);
        stop.send_replace(true);
        if tokio::time::timeout(LAST_SESSIONS, all_closed.recv())
            .await
            .is_err()
        {
            tracing::warn!(
                "wrapped processes are still open in the record; the next start closes them as interrupted"
            );
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody else may have removed it; the next start replaces what is left.
        fs_err::remove_file(&self.path).ok();
    }
}

async fn one(
    ctx: Arc<Context>,
    stream: UnixStream,
    mut stop: tokio::sync::watch::Receiver<bool>,
    open: mpsc::Sender<()>,
    place: OwnedSemaphorePermit,
) {
    let stopping = async move {
        // The listener is gone with its sender: that is a stop as well.
        stop.wait_for(|stop| *stop).await.ok();
    };
    if let Err(error) = Box::pin(Session::serve(ctx, stream, stopping)).await {
        tracing::warn!(%error, "a wrapper's session ended early");
    }
    drop(open);
    drop(place);
}

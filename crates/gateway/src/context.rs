//! What every call shares.

use crate::admission::Access;
use crate::attempts::Attempts;
use crate::config::{Config, ConfigError, Limits, Target, server_label};
use crate::figures::Figures;
use crate::forward::Client;
use crate::malformed::Malformed;
use crate::memory::Memory;
use crate::runs::Tracker;
use crate::secret_names::SecretNames;
use evidence::Recorder;
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The data plane's state: configuration taken apart, the recorder, the memory of runs and attempts.
pub(crate) struct Context {
    /// HTTP upstreams by name.
    pub(crate) upstreams: BTreeMap<String, Arc<Target>>,
    /// MCP servers by name.
    pub(crate) servers: BTreeMap<String, Arc<Target>>,
    /// Bounds.
    pub(crate) limits: Limits,
    /// Chunks are durable before they are released.
    pub(crate) strict: bool,
    /// Digest of the governance configuration.
    pub(crate) governance: Option<String>,
    /// Names whose values are not recorded in clear.
    pub(crate) secret_names: SecretNames,
    /// Where everything is recorded.
    pub(crate) recorder: Recorder,
    client: Client,
    /// The ways to upstreams whose authorities were configured, by [`Target::label`].
    clients: BTreeMap<String, Client>,
    /// Room for request bodies.
    pub(crate) memory: Memory,
    /// Hashes bodies for the memory of attempts; its key is this process's own.
    pub(crate) hasher: RandomState,
    /// Live figures.
    pub(crate) figures: Arc<Figures>,
    /// Which names and pages may ask.
    pub(crate) access: Access,
    /// What came and was no request.
    pub(crate) malformed: Malformed,
    /// What MCP traffic shares: tools, rounds, sessions.
    pub(crate) mcp: crate::mcp::Shared,
    tracker: Mutex<Tracker>,
    attempts: Mutex<Attempts>,
    stop: watch::Sender<bool>,
}

impl Context {
    pub(crate) fn new(config: Config, recorder: Recorder) -> Result<Self, ConfigError> {
        let upstreams = config
            .upstreams
            .iter()
            .map(|(name, upstream)| {
                Ok((
                    name.clone(),
                    Arc::new(Target::new(name, &upstream.base_url, upstream.api)?),
                ))
            })
            .collect::<Result<BTreeMap<_, _>, ConfigError>>()?;
        let servers = config
            .mcp
            .iter()
            .map(|(name, server)| {
                let target = Target::endpoint(name, &server.url)?;
                Ok((name.clone(), Arc::new(target)))
            })
            .collect::<Result<BTreeMap<_, _>, ConfigError>>()?;
        let figures = Figures::new(
            upstreams
                .values()
                .chain(servers.values())
                .map(|target| target.label.as_str()),
        );
        Ok(Self {
            client: Client::new(&config.limits, None)?,
            clients: clients(&config)?,
            memory: Memory::new(config.limits.memory),
            limits: config.limits,
            strict: config.strict,
            governance: Some(config.governance).filter(|digest| !digest.is_empty()),
            secret_names: SecretNames::new(&config.secret_names),
            recorder,
            hasher: RandomState::new(),
            access: config.access,
            malformed: Malformed::default(),
            figures: Arc::new(figures),
            mcp: crate::mcp::Shared::default(),
            tracker: Mutex::new(Tracker::new(crate::runs::Limits::default())),
            attempts: Mutex::new(Attempts::default()),
            stop: watch::Sender::new(false),
            upstreams,
            servers,
        })
    }

    /// The way to an upstream.
    pub(crate) fn client(&self, target: &Target) -> &Client {
        self.clients.get(&target.label).unwrap_or(&self.client)
    }

    /// The memory of runs.
    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of attempts.
    pub(crate) fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every open call now; each is recorded as `expired`.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Watches for [`Self::stop`].
    pub(crate) fn stopping(&self) -> Stopping {
        Stopping(self.stop.subscribe())
    }
}

fn clients(config: &Config) -> Result<BTreeMap<String, Client>, ConfigError> {
    let upstreams = config.upstreams.iter();
    let upstreams = upstreams.map(|(name, upstream)| (name.clone(), name, &upstream.ca));
    let servers = config.mcp.iter();
    let servers = servers.map(|(name, server)| (server_label(name), name, &server.ca));
    upstreams
        .chain(servers)
        .filter_map(|(label, name, ca)| Some((label, name, ca.as_deref()?)))
        .map(|(label, name, ca)| Ok((label, Client::new(&config.limits, Some((name, ca)))?)))
        .collect()
}

/// One call's view of whether open calls must end.
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Resolves when open calls must end.
    pub(crate) async fn now(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            // The context is gone and with it whoever could ask for a stop.
            std::future::pending::<()>().await;
        }
    }
}

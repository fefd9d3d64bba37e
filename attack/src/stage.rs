//! The world around a recorder: somebody to talk to, time-stamp authorities, witnesses, a second place. All of it real.

use crate::process::{Server, Tacho, arg, post};
use crate::{Failure, files};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use testkit::Upstream;
use testkit::authority::{Authority, AuthorityServer, EC, ROOT, RSA};
use testkit::model::Model;

/// What all stores have in common.
pub(crate) struct Stage {
    pub(crate) tacho: Tacho,
    /// Everything lies below it.
    pub(crate) dir: tempfile::TempDir,
    upstream: Upstream,
    /// The authority whose root is trusted.
    pub(crate) authority: Arc<Authority>,
    rsa: AuthorityServer,
    ec: AuthorityServer,
    /// Its root.
    pub(crate) roots: PathBuf,
    /// A configuration of the recorder that anchors nowhere.
    pub(crate) plain: PathBuf,
    /// One that has an authority stamp its heads, and tells nobody else.
    pub(crate) stamped: PathBuf,
}

/// What vouches for one store, and what an auditor holds of it.
pub(crate) struct Outside {
    /// The first key, the witnesses and their quorum: all of them.
    pub(crate) policy: PathBuf,
    /// As `policy`, without witnesses: somebody who only pinned the key.
    pub(crate) key_only: PathBuf,
    /// A configuration of the recorder that anchors everywhere.
    pub(crate) config: PathBuf,
    place: PathBuf,
    witnesses: Vec<Server>,
}

/// A running recorder.
pub(crate) struct Recording {
    tacho: Tacho,
    data: PathBuf,
    server: Server,
}

impl Stage {
    pub(crate) async fn set(tacho: Tacho) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let model = Model::new();
        let upstream = Upstream::start(move |request| model.answer(request)).await?;
        let authority = Arc::new(Authority::new()?);
        let rsa = AuthorityServer::start(authority.clone(), RSA).await?;
        let ec = AuthorityServer::start(authority.clone(), EC).await?;
        let roots = dir.path().join("roots.pem");
        fs_err::write(&roots, authority.pem(ROOT)?)?;
        let plain = dir.path().join("plain.toml");
        fs_err::write(&plain, upstream_section(&upstream))?;
        let stamped = dir.path().join("stamped.toml");
        fs_err::write(
            &stamped,
            format!(
                "{}[anchor]\ntimestamp = \"1h\"\n[timestamp.rsa]\nurl = \"{}\"\nroots = \"{}\"\n",
                upstream_section(&upstream),
                rsa.url(),
                arg(&roots)
            ),
        )?;
        Ok(Self {
            tacho,
            dir,
            upstream,
            authority,
            rsa,
            ec,
            roots,
            plain,
            stamped,
        })
    }

    /// Makes an empty store: the first start makes the keys that a witness has to know.
    pub(crate) fn begin(&self, data: &Path) -> Result<(), Failure> {
        self.start(data, &self.plain)?.stop()
    }

    /// Starts a recorder.
    pub(crate) fn start(&self, data: &Path, config: &Path) -> Result<Recording, Failure> {
        let server = self.tacho.serve(&[
            "serve",
            "--data",
            &arg(data),
            "--config",
            &arg(config),
            "--gateway",
            "127.0.0.1:0",
            "--console",
            "127.0.0.1:0",
        ])?;
        Ok(Recording {
            tacho: self.tacho.clone(),
            data: data.to_owned(),
            server,
        })
    }

    /// Starts witnesses for the store at `data`; everything of theirs lies in `dir`.
    pub(crate) fn outside(
        &self,
        dir: &Path,
        data: &Path,
        names: &[&str],
    ) -> Result<Outside, Failure> {
        let vkey = fs_err::read_to_string(data.join("log/vkey"))?;
        let vkey = vkey.trim();
        let at = |name: &str| dir.join(name);
        let key_only = at("key-only.policy");
        fs_err::write(&key_only, format!("log {vkey}\nquorum none\n"))?;
        let mut witnesses = Vec::new();
        let mut text = format!("log {vkey}\n");
        for name in names {
            let server = self.tacho.serve(&[
                "witness",
                "serve",
                "--data",
                &arg(&at(name)),
                "--listen",
                "127.0.0.1:0",
                "--name",
                name,
                "--log",
                vkey,
            ])?;
            let (key, url) = (server.says("key")?, server.says("witness")?);
            text += &format!("witness {name} {key} {url}\n");
            witnesses.push(server);
        }
        text += &format!("group all all {}\nquorum all\n", names.join(" "));
        let policy = at("trust.policy");
        fs_err::write(&policy, text)?;
        let place = at("second-place");
        fs_err::create_dir(&place)?;
        let config = at("anchored.toml");
        fs_err::write(
            &config,
            format!(
                "{}[anchor]\npublish = \"1s\"\ntimestamp = \"1h\"\n\
                 [timestamp.rsa]\nurl = \"{}\"\nroots = \"{roots}\"\n[timestamp.ec]\nurl = \"{}\"\nroots = \"{roots}\"\n\
                 [witness]\npolicy = \"{}\"\n[copy]\ndirectory = \"{}\"\n",
                upstream_section(&self.upstream),
                self.rsa.url(),
                self.ec.url(),
                arg(&policy),
                arg(&place),
                roots = arg(&self.roots),
            ),
        )?;
        Ok(Outside {
            policy,
            key_only,
            config,
            place,
            witnesses,
        })
    }

    /// What an auditor brings who holds all of `outside` and these heads, for a verification within this process.
    pub(crate) fn options(
        &self,
        outside: &Outside,
        heads: &[&Path],
    ) -> Result<evidence::verify::Options, Failure> {
        let roots = timestamp::Certificate::from_pem(&fs_err::read_to_string(&self.roots)?)?;
        let policy = fs_err::read(&outside.policy)?;
        let heads: std::io::Result<_> = heads.iter().map(fs_err::read).collect();
        Ok(evidence::verify::Options {
            policy: Some(tlog::policy::Policy::parse(&policy)?),
            roots: Some(timestamp::Trust::new(roots)?),
            heads: heads?,
            ..evidence::verify::Options::default()
        })
    }
}

fn upstream_section(upstream: &Upstream) -> String {
    let url = upstream.url();
    format!("[upstream.stage]\nbase_url = \"{url}\"\napi = \"anthropic\"\n")
}

impl Outside {
    /// The head in the second place.
    pub(crate) fn laid_down(&self) -> Result<PathBuf, Failure> {
        let mut all = files::list(&self.place)?.into_iter();
        let head = all.find(|path| path.ends_with("head"));
        let head = head.ok_or("nothing was laid down in the second place")?;
        Ok(self.place.join(head))
    }

    /// Ends the witnesses.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.witnesses.into_iter().try_for_each(Server::stop)
    }
}

impl Recording {
    /// Calls of an agent, each answered.
    pub(crate) fn traffic(&self, calls: u64) -> Result<(), Failure> {
        let gateway = self.server.says("gateway")?;
        (0..calls).try_for_each(|number| call(&gateway, number))
    }

    /// Has everything anchored now.
    pub(crate) fn anchor(&self) -> Result<(), Failure> {
        let data = arg(&self.data);
        self.tacho.must(&["anchor", "--data", &data]).map(drop)
    }

    /// Ends the key's epoch.
    pub(crate) fn rotate(&self) -> Result<(), Failure> {
        let data = arg(&self.data);
        let rotate = ["keys", "rotate", "--data", &data];
        self.tacho.must(&rotate).map(drop)
    }

    /// Revokes the key of an epoch for heads of more than `from_size` events, or for all that come.
    pub(crate) fn revoke(&self, epoch: u64, from_size: Option<u64>) -> Result<(), Failure> {
        let (data, epoch) = (arg(&self.data), epoch.to_string());
        let from = from_size.map(|size| size.to_string());
        let mut words = vec!["keys", "revoke", &epoch, "--reason", "it was stolen"];
        words.extend(["--data", &data]);
        if let Some(from) = &from {
            words.extend(["--from-size", from]);
        }
        self.tacho.must(&words).map(drop)
    }

    /// Ends it in order.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.server.stop()
    }

    /// Kills it while an agent talks to it.
    pub(crate) fn kill(self) -> Result<(), Failure> {
        let gateway = self.server.says("gateway")?;
        let (answered, first) = mpsc::sync_channel(1);
        let agent = std::thread::spawn(move || {
            let ended = (0..).find_map(|number| {
                let error = call(&gateway, number).err();
                // Nobody waits for more than the first.
                answered.try_send(()).ok();
                error
            });
            drop(ended);
        });
        first.recv()?;
        self.server.kill()?;
        agent.join().map_err(|_| "an agent panicked".into())
    }
}

fn call(gateway: &str, number: u64) -> Result<(), Failure> {
    let words = format!("question {number}, as a customer asks it ").repeat(40);
    let body = format!(
        r#"{{"model":"scripted-text","max_tokens":64,"messages":[{{"role":"user","content":"{words}"}}]}}"#
    );
    post(gateway, "/agent/support/stage/v1/messages", &body).map(drop)
}

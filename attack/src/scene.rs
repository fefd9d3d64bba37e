//! What is attacked: a stopped store with every anchor there is, and what an auditor holds who is not the operator.

use crate::process::{Server, Tacho, arg, post};
use crate::{Failure, files};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::Upstream;
use testkit::authority::{Authority, AuthorityServer, EC, ROOT, RSA};
use testkit::model::Model;

/// How long an anchor may take to be in the log.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stores and what lies elsewhere.
pub(crate) struct Scene {
    pub(crate) tacho: Tacho,
    /// Everything lies below it.
    pub(crate) dir: tempfile::TempDir,
    /// The store: three key epochs, two authorities, two witnesses, a second place.
    pub(crate) victim: PathBuf,
    /// The same store as it was in its second epoch: an older copy, or a stolen backup.
    pub(crate) earlier: PathBuf,
    /// What the operator made of the older copy, out of everybody's sight: the same keys, another history.
    pub(crate) fork: PathBuf,
    /// The store of another recorder.
    pub(crate) stranger: PathBuf,
    /// Held by the auditor since the log began: the first key, the witnesses and their quorum, the roots of the authorities.
    pub(crate) policy: PathBuf,
    /// As `policy`, without witnesses: somebody who only pinned the key.
    pub(crate) key_only: PathBuf,
    pub(crate) roots: PathBuf,
    /// Held by the auditor since the end of the second epoch.
    pub(crate) head: PathBuf,
    /// The newest head in the second place.
    pub(crate) newest: PathBuf,
    /// The authority whose root is trusted.
    pub(crate) authority: Arc<Authority>,
    /// One that nobody trusts, with the same names in its certificates.
    pub(crate) rogue: Authority,
}

impl Scene {
    /// Builds it all with real processes and a real authority.
    pub(crate) async fn build(tacho: Tacho) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let model = Model::new();
        let upstream = Upstream::start(move |request| model.answer(request)).await?;
        let authority = Arc::new(Authority::new()?);
        let rsa = AuthorityServer::start(authority.clone(), RSA).await?;
        let ec = AuthorityServer::start(authority.clone(), EC).await?;
        let roots = at("roots.pem");
        fs_err::write(&roots, authority.pem(ROOT)?)?;

        // The first start makes the keys that a witness has to know.
        let victim = at("victim");
        let plain = at("plain.toml");
        let stage = format!(
            "[upstream.stage]\nbase_url = \"{}\"\napi = \"anthropic\"\n",
            upstream.url()
        );
        fs_err::write(&plain, &stage)?;
        start(&tacho, &victim, &plain)?.stop()?;
        let vkey = fs_err::read_to_string(victim.join("log/vkey"))?;
        let vkey = vkey.trim();
        let key_only = at("key-only.policy");
        fs_err::write(&key_only, format!("log {vkey}\nquorum none\n"))?;

        let mut witnesses = Vec::new();
        let mut text = format!("log {vkey}\n");
        for name in ["north", "south"] {
            let own = arg(&at(name));
            let server = tacho.serve(&[
                "witness",
                "serve",
                "--data",
                &own,
                "--listen",
                "127.0.0.1:0",
                "--name",
                name,
                "--log",
                vkey,
            ])?;
            text += &format!(
                "witness {name} {} {}\n",
                server.says("key")?,
                server.says("witness")?
            );
            witnesses.push(server);
        }
        text += "group both 2 north south\nquorum both\n";
        let policy = at("trust.policy");
        fs_err::write(&policy, text)?;
        let anchored = at("anchored.toml");
        let place = at("second-place");
        fs_err::create_dir(&place)?;
        fs_err::write(
            &anchored,
            format!(
                "{stage}[anchor]\npublish = \"1s\"\ntimestamp = \"1h\"\n\
                 [timestamp.rsa]\nurl = \"{}\"\nroots = \"{roots}\"\n[timestamp.ec]\nurl = \"{}\"\nroots = \"{roots}\"\n\
                 [witness]\npolicy = \"{}\"\n[copy]\ndirectory = \"{}\"\n",
                rsa.url(),
                ec.url(),
                arg(&policy),
                arg(&place),
                roots = arg(&roots),
            ),
        )?;

        // First and second epoch; then the auditor comes by, and somebody keeps a copy.
        let server = start(&tacho, &victim, &anchored)?;
        traffic(&server, 6)?;
        rotate_and_anchor(&tacho, &victim)?;
        traffic(&server, 6)?;
        anchor(&tacho, &victim)?;
        let head = at("held.head");
        let newest = newest_anchor(&victim)?.ok_or("nothing was anchored")?;
        fs_err::copy(newest.join("cosigned"), &head)?;
        server.stop()?;
        let earlier = at("earlier");
        files::copy(&victim, &earlier)?;
        let fork = at("fork");
        files::copy(&victim, &fork)?;

        // The third epoch, as it was seen.
        let server = start(&tacho, &victim, &anchored)?;
        rotate_and_anchor(&tacho, &victim)?;
        traffic(&server, 8)?;
        anchor(&tacho, &victim)?;
        server.stop()?;

        let newest = at("newest.head");
        let own = files::list(&place)?
            .into_iter()
            .find(|path| path.ends_with("head"));
        let own = own.ok_or("nothing was laid down in the second place")?;
        fs_err::copy(place.join(own), &newest)?;

        // And as it was not: no witness is told of it.
        let server = start(&tacho, &fork, &plain)?;
        traffic(&server, 8)?;
        server.stop()?;
        let stranger = at("stranger");
        let server = start(&tacho, &stranger, &plain)?;
        traffic(&server, 8)?;
        server.stop()?;
        for witness in witnesses {
            witness.stop()?;
        }
        Ok(Self {
            tacho,
            victim,
            earlier,
            fork,
            stranger,
            policy,
            key_only,
            roots,
            head,
            newest,
            authority,
            rogue: Authority::new()?,
            dir,
        })
    }
}

impl Scene {
    /// What the auditor holds, for a verification within this process.
    pub(crate) fn options(&self) -> Result<evidence::verify::Options, Failure> {
        let roots = timestamp::Certificate::from_pem(&fs_err::read_to_string(&self.roots)?)?;
        Ok(evidence::verify::Options {
            policy: Some(tlog::policy::Policy::parse(&fs_err::read(&self.policy)?)?),
            roots: Some(timestamp::Trust::new(roots)?),
            heads: vec![fs_err::read(&self.head)?, fs_err::read(&self.newest)?],
            ..evidence::verify::Options::default()
        })
    }
}

fn start(tacho: &Tacho, data: &Path, config: &Path) -> Result<Server, Failure> {
    tacho.serve(&[
        "serve",
        "--data",
        &arg(data),
        "--config",
        &arg(config),
        "--gateway",
        "127.0.0.1:0",
        "--console",
        "127.0.0.1:0",
    ])
}

fn traffic(server: &Server, calls: u32) -> Result<(), Failure> {
    let gateway = server.says("gateway")?;
    for call in 0..calls {
        let words = format!("question {call}, as a customer asks it ").repeat(40);
        let body = format!(
            r#"{{"model":"scripted-text","max_tokens":64,"messages":[{{"role":"user","content":"{words}"}}]}}"#
        );
        post(&gateway, "/agent/support/stage/v1/messages", &body)?;
    }
    Ok(())
}

fn rotate_and_anchor(tacho: &Tacho, data: &Path) -> Result<(), Failure> {
    anchor(tacho, data)?;
    tacho.must(&["keys", "rotate", "--data", &arg(data)])?;
    Ok(())
}

/// Has everything anchored now, and waits until each of the anchors is an event of the log.
fn anchor(tacho: &Tacho, data: &Path) -> Result<(), Failure> {
    let count = || -> Result<usize, Failure> {
        let mut all = 0;
        for kind in ["anchor.timestamp", "anchor.witness"] {
            let listed = tacho.run(&["events", "--json", "--kind", kind, "--data", &arg(data)])?;
            all += listed.stdout.lines().count();
        }
        Ok(all)
    };
    let before = count()?;
    tacho.must(&["anchor", "--data", &arg(data)])?;
    let began = Instant::now();
    while count()? < before + 4 {
        if began.elapsed() > PATIENCE {
            return Err("the anchors do not come".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The newest of the anchored heads that the witnesses cosigned.
pub(crate) fn newest_anchor(data: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(data.join("anchors"))? {
        let path = entry?.path();
        if path.join("cosigned").exists() {
            found.push(path);
        }
    }
    Ok(found.into_iter().max())
}

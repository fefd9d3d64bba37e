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
    /// As `earlier` and `fork`, from within the third epoch: the newest head is of the same key.
    pub(crate) recent: PathBuf,
    pub(crate) recent_fork: PathBuf,
    /// Another history from the very beginning, under the victim's first key, of which nobody outside was told.
    pub(crate) beginning: PathBuf,
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
        let beginning = at("beginning");
        files::copy(&victim, &beginning)?;
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
        let (_, newest) = newest_with(&victim, "cosigned")?;
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
        let recent = at("recent");
        files::copy(&victim, &recent)?;
        let recent_fork = at("recent-fork");
        files::copy(&victim, &recent_fork)?;
        let server = start(&tacho, &victim, &anchored)?;
        traffic(&server, 6)?;
        anchor(&tacho, &victim)?;
        server.stop()?;

        let newest = at("newest.head");
        let own = files::list(&place)?
            .into_iter()
            .find(|path| path.ends_with("head"));
        let own = own.ok_or("nothing was laid down in the second place")?;
        fs_err::copy(place.join(own), &newest)?;

        // And as it was not: no witness is told of it.
        for other in [&fork, &recent_fork, &beginning] {
            let server = start(&tacho, other, &plain)?;
            traffic(&server, 24)?;
            server.stop()?;
        }
        let stranger = at("stranger");
        let server = start(&tacho, &stranger, &plain)?;
        traffic(&server, 60)?;
        server.stop()?;
        for witness in witnesses {
            witness.stop()?;
        }
        Ok(Self {
            tacho,
            victim,
            earlier,
            fork,
            recent,
            recent_fork,
            beginning,
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

/// The anchored heads of a store, oldest first: events that they cover, and where they lie.
pub(crate) fn sized(store: &Path) -> Result<Vec<(u64, PathBuf)>, Failure> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(store.join("anchors"))? {
        let entry = entry?;
        if entry.path().join("checkpoint").exists() {
            let name = entry.file_name();
            found.push((name.to_string_lossy().parse()?, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The newest of the anchored heads that have a file of that name.
pub(crate) fn newest_with(store: &Path, name: &str) -> Result<(u64, PathBuf), Failure> {
    let mut all = sized(store)?.into_iter().rev();
    all.find(|(_, dir)| dir.join(name).exists())
        .ok_or_else(|| format!("no head has {name}").into())
}

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Config, Problems> {
    read::read(text, "tacho.toml", Path::new(""))
}

fn messages(text: &str) -> String {
    match parse(text) {
        Ok(_) => "fine".to_owned(),
        Err(problems) => problems.to_string().trim_end().to_owned(),
    }
}

#[test]
fn every_mistake_is_named_with_its_line_and_what_to_write() {
    for (text, expected) in [
        (
            "[upstream.acme]\nbas_url = \"https://a\"\napi = \"raw\"\nbase_url = \"https://a\"",
            "tacho.toml:2: unknown key `bas_url` in [upstream.acme]\n  hint: did you mean `base_url`? valid keys: api, base_url, ca_file",
        ),
        (
            "[limit]\n",
            "tacho.toml:1: unknown key `limit` in the file\n  hint: did you mean `limits`? valid keys: anchor, copy, gateway, keys, limits, mcp, recorder, signer, timestamp, upstream, vault, witness",
        ),
        (
            "[limits]\n\nrequest_bodies = 1",
            "tacho.toml:3: unknown key `request_bodies` in [limits]\n  hint: did you mean `request_body`? valid keys: connect_timeout, connections, drain_timeout, head_timeout, idle_timeout, memory, memory_timeout, request_body, request_idle_timeout, request_rate, response_body, tunnel_idle_timeout",
        ),
        (
            "[recorder]\nheartbeet = 3",
            "tacho.toml:2: unknown key `heartbeet` in [recorder]\n  hint: did you mean `heartbeat`? valid keys: environment_interval, heartbeat, secret_names, strict_streams",
        ),
        (
            "[anchor]\npublsh = \"1s\"\nrequire = 1",
            "tacho.toml:2: unknown key `publsh` in [anchor]\n  hint: did you mean `publish`? valid keys: publish, require, timestamp\ntacho.toml:3: `require` in [anchor] must be true or false, and is of type integer",
        ),
        (
            "[copy]\n[witness]",
            "tacho.toml:1: [copy] has no `directory`\n  hint: add directory = \"/mnt/elsewhere\"\ntacho.toml:2: [witness] has no `policy`\n  hint: add policy = \"witnesses.policy\"",
        ),
        (
            "[copy]\n\ndirectory = \"\"",
            "tacho.toml:3: `directory` in [copy] is empty\n  hint: write a path",
        ),
        (
            "[witness]\npolicy = \"\"",
            "tacho.toml:2: `policy` in [witness] is empty\n  hint: write a path",
        ),
        (
            "[timestamp.acme]\ndigest = \"sha1\"\npolicy = \"x\"",
            "tacho.toml:1: [timestamp.acme] has no `url`\n  hint: add url = \"http://timestamp.example.com/tsa\"\ntacho.toml:1: [timestamp.acme] has no `roots`\n  hint: add roots = \"authority.pem\"\ntacho.toml:2: unknown digest \"sha1\" in [timestamp.acme]\n  hint: write \"sha256\" or leave it out\ntacho.toml:3: `policy` in [timestamp.acme]: `x` is no object identifier like 1.3.6.1.4.1.4146.2.3",
        ),
        (
            "[recorder]\nzzz = 3",
            "tacho.toml:2: unknown key `zzz` in [recorder]\n  hint: valid keys: environment_interval, heartbeat, secret_names, strict_streams",
        ),
        (
            "[upstream.acme]\nbase_url = \"https://a\"\napi = \"antropic\"",
            "tacho.toml:3: unknown api \"antropic\" in [upstream.acme]\n  hint: did you mean `anthropic`? valid apis: anthropic, openai, gemini, raw",
        ),
        (
            "[upstream.acme]\nbase_url = \"api.acme.com\"\napi = \"raw\"",
            "tacho.toml:2: `base_url` in [upstream.acme] is not an address to forward to: it does not begin with http:// or https://",
        ),
        (
            "[upstream.acme]\napi = \"raw\"",
            "tacho.toml:1: [upstream.acme] has no `base_url`\n  hint: add base_url = \"https://api.example.com\"",
        ),
        (
            "[upstream.acme]\nbase_url = \"https://a\"",
            "tacho.toml:1: [upstream.acme] has no `api`\n  hint: add api = \"anthropic\" | \"openai\" | \"gemini\" | \"raw\"",
        ),
        (
            "[upstream.mcp]\nbase_url = \"https://a\"\napi = \"raw\"",
            "tacho.toml:1: the name of [upstream.mcp] is reserved: the gateway's own addresses use `mcp`",
        ),
        (
            "\n[upstream.\"a/b\"]\nbase_url = \"https://a\"\napi = \"raw\"",
            "tacho.toml:2: the name of [upstream.a/b] cannot be a name: use 1 to 64 of A-Z a-z 0-9 - _ . and no dot in front",
        ),
        (
            "[mcp.files]\nurl = 7",
            "tacho.toml:2: `url` in [mcp.files] must be a string in quotes, and is of type integer",
        ),
        (
            "[mcp.files]",
            "tacho.toml:1: [mcp.files] has no `url`\n  hint: add url = \"http://127.0.0.1:9000/mcp\"",
        ),
        (
            "mcp = 3",
            "tacho.toml:1: `mcp` in the file must be a table, and is of type integer",
        ),
        (
            "[mcp]\nfiles = \"http://x\"",
            "tacho.toml:2: `files` in [mcp] must be a table: [mcp.files]",
        ),
        (
            "[limits]\nmemory = \"48 mega\"",
            "tacho.toml:2: `memory` in [limits] is not a size: `48 mega` (write bytes as a number, or like \"64MiB\" or \"1GB\")",
        ),
        (
            "[limits]\nmemory = 3",
            "tacho.toml:2: `memory` in [limits] is 3 bytes; at least 1048576",
        ),
        (
            "[limits]\nconnections = -1",
            "tacho.toml:2: `connections` in [limits] must be a whole number that is not negative, and is of type integer",
        ),
        (
            "[limits]\nhead_timeout = true",
            "tacho.toml:2: `head_timeout` in [limits] must be a time like 30 (seconds) or \"500ms\", and is of type boolean",
        ),
        (
            "[gateway]\nallowed_hosts = \"a\"",
            "tacho.toml:2: `allowed_hosts` in [gateway] must be a list of strings, and is of type string",
        ),
        (
            "[gateway]\nallowed_hosts = [\"a:1\"]\nallowed_origins = [\n  \"https://a/\",\n]",
            "tacho.toml:2: `a:1` of `allowed_hosts` in [gateway] is not a host's name (write it like \"recorder.internal\", without a port)\ntacho.toml:4: `https://a/` of `allowed_origins` in [gateway] is not an origin (write it like \"https://console.example.com\", with nothing after the host and port)",
        ),
        (
            "[recorder]\nheartbeat = 0",
            "tacho.toml:2: `heartbeat` in [recorder] is zero",
        ),
        (
            "[recorder]\nstrict_streams = \"yes\"",
            "tacho.toml:2: `strict_streams` in [recorder] must be true or false, and is of type string",
        ),
        (
            "[recorder]\nsecret_names = [\"sid\", \"x: y\"]",
            "tacho.toml:2: `x: y` of `secret_names` in [recorder] is not the name of a header or parameter (write it like \"x-corp-badge\": 1 to 64 of A-Z a-z 0-9 - _ .)",
        ),
        (
            "[recorder]\nzzz = 1\n[limits]\nyyy = 2",
            "tacho.toml:2: unknown key `zzz` in [recorder]\n  hint: valid keys: environment_interval, heartbeat, secret_names, strict_streams\ntacho.toml:4: unknown key `yyy` in [limits]\n  hint: valid keys: connect_timeout, connections, drain_timeout, head_timeout, idle_timeout, memory, memory_timeout, request_body, request_idle_timeout, request_rate, response_body, tunnel_idle_timeout",
        ),
    ] {
        assert_eq!(messages(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    let message = messages("[limits]\nmemory = \n");
    assert!(message.starts_with("tacho.toml:2: not TOML: "), "{message}");
}

#[test]
fn a_whole_file_is_read() {
    let config = parse(
        r#"
        [upstream.anthropic]
        base_url = "http://127.0.0.1:9000"

        [upstream.acme]
        base_url = "https://llm.acme.example/openai"
        api = "openai"

        [mcp.files]
        url = "http://127.0.0.1:9100/mcp"

        [gateway]
        allowed_hosts = ["recorder.internal"]
        allowed_origins = ["https://console.example", "null"]

        [limits]
        request_body = "32MiB"
        response_body = 1_000_000
        connections = 0x40
        request_rate = "8KiB"
        memory_timeout = "5s"
        idle_timeout = "90s"
        head_timeout = 120

        [recorder]
        heartbeat = "500ms"
        strict_streams = true
        secret_names = ["x-corp-badge", "sid"]
        environment_interval = "5m"
        "#,
    )
    .unwrap();
    let anthropic = &config.upstream["anthropic"];
    assert_eq!(
        (anthropic.api, anthropic.base_url.as_str()),
        (UpstreamApi::Anthropic, "http://127.0.0.1:9000")
    );
    assert_eq!(config.upstream["acme"].api, UpstreamApi::OpenAi);
    assert_eq!(
        config.upstream["gemini"].base_url,
        "https://generativelanguage.googleapis.com"
    );
    assert_eq!(config.mcp["files"].url, "http://127.0.0.1:9100/mcp");
    assert_eq!(config.gateway.allowed_hosts, ["recorder.internal"]);
    assert_eq!(
        config.gateway.allowed_origins,
        ["https://console.example", "null"]
    );
    assert_eq!(config.limits.request_body, 32 << 20);
    assert_eq!(config.limits.response_body, 1_000_000);
    assert_eq!(config.limits.memory, 32 << 20);
    assert_eq!(config.limits.connections, 64);
    assert_eq!(config.limits.request_rate, 8 << 10);
    assert_eq!(config.limits.memory_timeout, Duration::from_secs(5));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(90));
    assert_eq!(config.limits.head_timeout, Duration::from_secs(120));
    assert_eq!(config.recorder.heartbeat, Duration::from_millis(500));
    assert!(config.recorder.strict_streams);
    assert_eq!(config.recorder.secret_names, ["x-corp-badge", "sid"]);
    let plane = gateway::Config::from(&config);
    assert_eq!(plane.secret_names, config.recorder.secret_names);
    assert_eq!(
        config.recorder.environment_interval,
        Duration::from_secs(300)
    );
}

#[test]
fn authorities_are_read_with_the_file_and_are_part_of_what_is_in_effect() {
    let folder = tempfile::tempdir().unwrap();
    let pem =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let text = "[upstream.openai]\nca_file = \"ca.pem\"\n[mcp.files]\nurl = \"https://files\"\nca_file = \"ca.pem\"";
    let mut digests = Vec::new();
    for content in ["AAAA", "BBBB"] {
        std::fs::write(folder.path().join("ca.pem"), pem(content)).unwrap();
        std::fs::write(folder.path().join("tacho.toml"), text).unwrap();
        let config = Config::load(&folder.path().join("tacho.toml")).unwrap();
        let found = config.upstream["openai"].ca_file.as_ref().unwrap();
        assert_eq!(found.pem, pem(content).into_bytes());
        assert_eq!(config.mcp["files"].ca_file.as_ref(), Some(found));
        assert!(!config.facts().to_string().contains("BEGIN CERTIFICATE"));
        digests.push(config.digest());
    }
    assert_ne!(digests[0], digests[1]);
    std::fs::write(folder.path().join("ca.pem"), "no").unwrap();
    for (file, problem) in [
        (
            "ca.pem",
            "tacho.toml:2: `ca_file` in [upstream.openai] holds no certificate in PEM form",
        ),
        (
            "none.pem",
            "tacho.toml:2: `ca_file` in [upstream.openai] cannot be read: ",
        ),
    ] {
        let text = format!("[upstream.openai]\nca_file = \"{file}\"");
        let problems = read::read(&text, "tacho.toml", folder.path()).unwrap_err();
        assert!(problems.to_string().starts_with(problem), "{problems}");
    }
}

#[test]
fn the_recipient_is_read_with_the_file_and_a_private_key_in_its_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = evidence::VaultKey::generate().unwrap();
    let write = |text: String| std::fs::write(folder.path().join("r.pub"), text).unwrap();
    let read = |text: &str| read::read(text, "tacho.toml", folder.path());
    let named = "[vault]\nrecipient = \"r.pub\"";
    write(format!("{}\n", key.recipient()));
    for (text, recipient, seal) in [
        (named.to_owned(), true, Some(3600)),
        (format!("{named}\nseal = \"10m\""), true, Some(600)),
        ("[vault]\nseal = 60".to_owned(), false, Some(60)),
        ("[vault]".to_owned(), false, None),
    ] {
        let vault = read(&text).unwrap().vault;
        let found = vault.recipient.map(|found| found.value);
        assert_eq!(found, recipient.then(|| key.recipient().clone()), "{text}");
        assert_eq!(vault.seal, seal.map(Duration::from_secs), "{text}");
    }
    write(format!("{}\n", key.secret_line()));
    let problems = read(&format!("{named}\nseel = 1")).unwrap_err().to_string();
    let secret = key.secret_line();
    assert!(!problems.contains(secret.rsplit(' ').next().unwrap()));
    for part in [
        "tacho.toml:2: `recipient` in [vault] cannot be used: the file is damaged",
        "the other half of the key pair",
        "tacho.toml:3: unknown key `seel` in [vault]\n  hint: did you mean `seal`? valid keys: recipient, seal",
    ] {
        assert!(problems.contains(part), "{problems}");
    }
}

#[test]
fn the_token_is_read_by_a_build_that_can_use_it_and_named_by_others() {
    let text =
        "[signer]\nmodule = \"/usr/lib/x.so\"\ntoken = \"recorder\"\npin_file = \"/etc/x.pin\"";
    if cfg!(feature = "pkcs11") {
        let signer = parse(text).unwrap().signer.unwrap();
        assert_eq!(signer.token, "recorder");
        assert_eq!(signer.pin_file, Path::new("/etc/x.pin"));
    } else {
        let expected = "tacho.toml:1: [signer] needs PKCS#11, which this `tacho` was built without\n  hint: build it with `cargo build --release -p tachograph --features pkcs11`, or leave the section out";
        assert_eq!(messages(text), expected);
    }
    let wrong = messages("[signer]\npin = \"1234\"\ntoken = 1");
    for part in [
        "tacho.toml:2: unknown key `pin` in [signer]\n  hint: did you mean `pin_file`? valid keys: module, pin_file, token",
        "tacho.toml:1: [signer] has no `module`\n  hint: add module = \"/usr/lib/softhsm/libsofthsm2.so\"",
        "tacho.toml:1: [signer] has no `pin_file`\n  hint: add pin_file = \"token.pin\"",
        "`token` in [signer] must be a string in quotes",
    ] {
        assert!(wrong.contains(part), "{wrong}");
    }
    assert!(!wrong.contains("1234"));
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn the_digest_is_of_what_is_in_effect() {
    let digest = |text: &str| parse(text).unwrap().digest();
    assert_eq!(digest(""), digest("[limits]\nmemory = \"32MiB\""));
    assert_eq!(digest("[limits]\nmemory = 33554432"), digest(""));
    assert_ne!(digest("[limits]\nmemory = \"49MiB\""), digest(""));
    assert!(digest("").starts_with("sha256:"));
    assert_eq!(digest("").len(), "sha256:".len() + 64);
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[\\[\\]a-z_.=\"0-9\n ]{0,80}") {
        prop_assert!(!messages(&text).is_empty());
    }
}

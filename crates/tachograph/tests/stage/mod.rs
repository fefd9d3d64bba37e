//! A record to read, made by the real recorder, and the built command to read it with.

use event::{
    Agent, BodyRef, Draft, Exchange, Gap, GenAi, History, Http, Kind, Mcp, Outcome, Role, Run,
    Source, State, Timing, ToolRef, Usage, WebSocket,
};
use evidence::{Options, Recorder};
use std::process::{Command, Output};

/// Names that try to act on a terminal: they clear it, set its title and its clipboard, turn the
/// text around, hide in it.
pub(crate) const HOSTILE: [&str; 2] = [
    "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}evil",
    "\x1b]52;c;aGk=\x07a\rb\u{200b}\u{e0041}\u{2028}\x7f",
];

/// What a finished command left.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) raw_out: Vec<u8>,
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            raw_out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The built command, free of the environment's habits.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
    command.args(args);
    for name in [
        "TACHO_DATA",
        "TACHO_LOG",
        "COLUMNS",
        "NO_COLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command
}

pub(crate) fn tacho(args: &[&str]) -> Done {
    command(args).output().unwrap().into()
}

/// A stopped record with at least one event of every kind.
pub(crate) struct Stage {
    pub(crate) data: tempfile::TempDir,
    pub(crate) events: u64,
    /// A tool call whose every text is hostile; its answer is the next event.
    pub(crate) hostile_call: u64,
    pub(crate) hostile_request: Vec<u8>,
    pub(crate) hostile_response: Vec<u8>,
    pub(crate) hostile_response_gzip: Vec<u8>,
    /// An event with a body larger than a pipe.
    pub(crate) long_body: u64,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(play(data))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.arg("--data").arg(self.data.path());
        command
    }

    pub(crate) fn tacho(&self, args: &[&str]) -> Done {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn tacho_with(&self, args: &[&str], environment: &[(&str, String)]) -> Done {
        let mut command = self.command(args);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.output().unwrap().into()
    }

    /// What a terminal gets of the command's standard output.
    pub(crate) fn at_terminal(&self, args: &[&str]) -> String {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use std::io::Read as _;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = std::fs::File::options()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let mut child = self
            .command(args)
            .args(["--color", "never"])
            .stdout(terminal)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut master = std::fs::File::from(master);
        let (mut shown, mut part) = (Vec::new(), [0; 4096]);
        // Reading fails once nobody holds the terminal any more.
        while let Ok(n @ 1..) = master.read(&mut part) {
            shown.extend_from_slice(&part[..n]);
        }
        assert!(child.wait().unwrap().success(), "{args:?}");
        String::from_utf8(shown).unwrap()
    }

    /// Changes one byte in the middle of the first vault volume.
    pub(crate) fn flip_a_byte_of_a_volume(&self) {
        let mut volumes: Vec<_> = std::fs::read_dir(self.data.path().join("vault"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "vol"))
            .collect();
        volumes.sort();
        let volume = &volumes[0];
        let mut bytes = std::fs::read(volume).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(volume, bytes).unwrap();
    }
}

fn draft(kind: Kind, agent: &str, run: &str) -> Draft {
    let mut draft = Draft::new(kind, Source::Gateway);
    draft.agent = Some(Agent {
        name: agent.to_owned(),
        client: None,
    });
    draft.run = Some(Run {
        id: run.to_owned(),
        ..Run::default()
    });
    draft
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// One play of the recorder: `Player` appends, in the words of a test.
struct Player {
    recorder: Recorder,
}

impl Player {
    async fn append(&self, draft: &Draft) -> u64 {
        self.recorder.append(draft).await.unwrap().seq
    }

    async fn body(&self, role: Role, media: &str, encoding: Option<&str>, bytes: &[u8]) -> BodyRef {
        let encoding = encoding.map(str::to_owned);
        self.recorder
            .put(role, text(media), encoding, bytes)
            .await
            .unwrap()
    }

    /// Opens a call of `kind` and closes it; returns the `seq` of the request.
    async fn call(
        &self,
        mut request: Draft,
        bodies: [Option<BodyRef>; 2],
        fill: impl FnOnce(&mut Draft),
    ) -> u64 {
        let [asked, answered] = bodies;
        request.bodies.extend(asked);
        let call = self.append(&request).await;
        let mut response = request.clone();
        response.kind = request.kind.closed_by().unwrap();
        response.bodies = answered.into_iter().collect();
        response.exchange = Some(Exchange {
            call: Some(call),
            ..Exchange::default()
        });
        response.outcome = Some(Outcome {
            state: State::Completed,
            error: None,
            reason: None,
        });
        response.timing = Some(Timing {
            total_us: Some(12_345),
            ..Timing::default()
        });
        fill(&mut response);
        self.append(&response).await;
        call
    }

    async fn tool(
        &self,
        agent: &str,
        run: &str,
        tool: &str,
        request: BodyRef,
        response: BodyRef,
        state: State,
    ) -> u64 {
        let mut draft = draft(Kind::ToolRequest, agent, run);
        draft.mcp = Some(Mcp {
            server: "tickets".to_owned(),
            method: text("tools/call"),
            id: text("7"),
            ..Mcp::default()
        });
        draft.tool = Some(ToolRef {
            name: text(tool),
            ..ToolRef::default()
        });
        let end = |draft: &mut Draft| {
            draft.outcome = Some(Outcome {
                state,
                error: None,
                reason: None,
            });
        };
        self.call(draft, [Some(request), Some(response)], end).await
    }

    async fn model(&self) {
        let mut draft = draft(Kind::ModelRequest, "importer", "nightly-import");
        draft.gen_ai = Some(GenAi {
            api: "anthropic.messages".to_owned(),
            request_model: text("claude-sonnet-4-5"),
            messages: Some(1),
            ..GenAi::default()
        });
        let asked = r#"{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"Please look at ticket 4711 and tell the customer what happens next, in plain words and at whatever length it takes."}]}"#;
        let said = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"I will look at it."},{"type":"tool_use","id":"toolu_1","name":"read_ticket","input":{"id":4711}}],"stop_reason":"tool_use","usage":{"input_tokens":1203,"output_tokens":88}}"#;
        let json = "application/json";
        let asked = self.body(Role::Request, json, None, asked.as_bytes()).await;
        let said = self.body(Role::Response, json, None, said.as_bytes()).await;
        let answer = |draft: &mut Draft| {
            let gen_ai = draft.gen_ai.get_or_insert_default();
            gen_ai.usage = Some(Usage {
                input_tokens: Some(1203),
                output_tokens: Some(88),
                ..Usage::default()
            });
            gen_ai.finish_reasons = vec!["tool_use".to_owned()];
            draft.http = Some(Http {
                status: Some(200),
                ..Http::default()
            });
            draft.tool_calls = vec![ToolRef {
                name: text("read_ticket"),
                id: text("toolu_1"),
                ..ToolRef::default()
            }];
        };
        self.call(draft, [Some(asked), Some(said)], answer).await;
    }

    /// Every kind that no story here needs.
    async fn others(&self) {
        for kind in [Kind::McpRequest, Kind::HttpRequest, Kind::ProcessStart] {
            self.call(
                draft(kind, "importer", "nightly-import"),
                [None, None],
                |_| {},
            )
            .await;
        }
        let mut websocket = draft(Kind::WebSocketMessage, "importer", "nightly-import");
        websocket.websocket = Some(WebSocket {
            direction: "server-to-client".to_owned(),
            opcode: "text".to_owned(),
            message_type: None,
        });
        self.append(&websocket).await;
        let mut history = draft(Kind::RunHistory, "importer", "nightly-import");
        history.history = Some(History {
            change: "edited".to_owned(),
            at: 1,
            seen: 3,
            sent: 3,
        });
        self.append(&history).await;
        let mut gap = draft(Kind::Gap, "importer", "nightly-import");
        gap.gap = Some(Gap {
            of: "response".to_owned(),
            cause: "truncated".to_owned(),
            count: 1024,
            unit: "bytes".to_owned(),
            ..Gap::default()
        });
        self.append(&gap).await;
        for kind in [Kind::RunLink, Kind::McpMessage] {
            self.append(&draft(kind, "importer", "nightly-import"))
                .await;
        }
        for kind in [Kind::Heartbeat, Kind::Environment, Kind::Clock] {
            self.append(&Draft::new(kind, Source::Recorder)).await;
        }
    }
}

async fn play(data: tempfile::TempDir) -> Stage {
    let player = Player {
        recorder: Recorder::open(Options::new(data.path())).unwrap(),
    };
    player
        .append(&draft(Kind::RunStart, "importer", "nightly-import"))
        .await;
    player.model().await;
    let json = "application/json";
    let request = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read_ticket","arguments":{"id":4711}}}"#;
    let response = br#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Subject: refund"}]}}"#;
    let asked = player.body(Role::Request, json, None, request).await;
    let given = player.body(Role::Response, json, None, response).await;
    player
        .tool(
            "importer",
            "nightly-import",
            "read_ticket",
            asked,
            given,
            State::Interrupted,
        )
        .await;
    player.others().await;

    let long = "0123456789abcdef".repeat(1 << 16);
    let mut message = draft(Kind::McpMessage, "importer", "nightly-import");
    message.bodies.push(
        player
            .body(Role::Request, "text/plain", None, long.as_bytes())
            .await,
    );
    let long_body = player.append(&message).await;

    let mut start = draft(Kind::RunStart, HOSTILE[0], HOSTILE[1]);
    start.agent = Some(Agent {
        name: HOSTILE[0].to_owned(),
        client: text(HOSTILE[1]),
    });
    player.append(&start).await;
    let quoted = serde_json::Value::from(HOSTILE.concat()).to_string();
    let hostile_request = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"x","arguments":{{"a":{quoted}}}}}}}"#
    );
    let hostile_response = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":{quoted}}}]}}}}"
    );
    let hostile_response_gzip = stored_gzip(hostile_response.as_bytes());
    let media = format!("application/json; x={}", HOSTILE[0].escape_debug());
    let asked = player
        .body(Role::Request, &media, None, hostile_request.as_bytes())
        .await;
    let given = player
        .body(Role::Response, json, Some("gzip"), &hostile_response_gzip)
        .await;
    let hostile_call = player
        .tool(
            HOSTILE[0],
            HOSTILE[1],
            HOSTILE[0],
            asked,
            given,
            State::Denied,
        )
        .await;
    player.recorder.rotate().await.unwrap();
    let reason = HOSTILE[0].replace(char::is_control, "!");
    player.recorder.revoke(1, None, &reason).await.unwrap();
    player.recorder.close().await.unwrap();
    let events = evidence::Store::open(data.path()).unwrap().len();
    Stage {
        data,
        events,
        hostile_call,
        hostile_request: hostile_request.into_bytes(),
        hostile_response: hostile_response.into_bytes(),
        hostile_response_gzip,
        long_body,
    }
}

/// gzip (RFC 1952) with one stored block: the smallest encoder there is.
fn stored_gzip(plain: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in plain {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let len = u16::try_from(plain.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    out.extend(len.to_le_bytes());
    out.extend((!len).to_le_bytes());
    out.extend(plain);
    out.extend((!crc).to_le_bytes());
    out.extend(u32::from(len).to_le_bytes());
    out
}

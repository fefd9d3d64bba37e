//! The local socket beneath a disk that stalls or is full: what is not durable is not acknowledged.

use super::disk::Switch;
use super::rig::{Rig, Upstream, within};
use super::{error, state};
use bytes::Bytes;
use event::State;
use gateway::mcp::Direction;
use gateway::socket::{Frame, Hello, Listener, PROTOCOL, Role, Wire};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long nothing may come while nothing may come.
const SILENCE: Duration = Duration::from_millis(150);

pub(super) struct Socket {
    pub(super) rig: Rig,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    _upstream: Upstream,
}

pub(super) async fn socket(switch: &Switch) -> Socket {
    let upstream = Upstream::answering("").await;
    let rig = Rig::on_disk(upstream.addr, switch, |_| {}).await;
    let listener = Listener::bind(rig.dir.path()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = rig.gateway.clone();
    let serving = tokio::spawn(async move {
        listener
            .serve(&gateway, async {
                stopped.await.ok();
            })
            .await;
    });
    Socket {
        rig,
        stop: Some(stop),
        serving: Some(serving),
        _upstream: upstream,
    }
}

pub(super) struct Wrapper {
    pub(super) wire: Wire<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Wrapper {
    pub(super) async fn connect(socket: &Socket) -> Self {
        let path = socket.rig.dir.path().join("recorder.sock");
        let (from, to) = UnixStream::connect(path).await.unwrap().into_split();
        let mut wrapper = Self {
            wire: Wire::new(from),
            to,
        };
        let hello = Hello {
            protocol: PROTOCOL,
            role: Role::Mcp,
            agent: "a".into(),
            server: Some("s".into()),
            argv: vec!["cat".into()],
            cwd: None,
            env: Vec::new(),
            run: None,
            resumed: false,
        };
        wrapper.send(&Frame::Hello(hello)).await;
        wrapper
    }

    pub(super) async fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        within(self.to.write_all(&bytes)).await.unwrap();
    }

    pub(super) async fn line(&mut self, direction: Direction, line: &str) {
        self.send(&Frame::Line(
            direction,
            Bytes::copy_from_slice(line.as_bytes()),
        ))
        .await;
    }

    pub(super) async fn hear(&mut self) -> Frame {
        within(self.wire.next()).await.unwrap().expect("a frame")
    }

    async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(SILENCE, self.wire.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

const CALL: &str =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}\n";
const ANSWER: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let switch = Switch::default();
    let socket = socket(&switch).await;
    switch.stall(true);
    let mut wrapper = Wrapper::connect(&socket).await;
    wrapper.hears_nothing().await;
    switch.stall(false);
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
    for (direction, line) in [(Direction::ToServer, CALL), (Direction::ToClient, ANSWER)] {
        switch.stall(true);
        wrapper.line(direction, line).await;
        wrapper.hears_nothing().await;
        switch.stall(false);
        assert_eq!(wrapper.hear().await, Frame::Ack);
    }
    assert_eq!(
        state(&socket.rig.of(&["tool.response"])[0]),
        State::Completed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_is_refused_line_by_line() {
    let switch = Switch::default();
    let socket = socket(&switch).await;
    let mut wrapper = Wrapper::connect(&socket).await;
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
    switch.fill(true);
    let (mut state, mut accepted) = (0x9E37_79B9_7F4A_7C15_u64, 0u64);
    let why = loop {
        // Bytes that nothing can be shared with and nothing can be packed.
        let noise: String = (0..200_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(b'!' + u8::try_from(state % 90).unwrap())
            })
            .filter(|c| !matches!(c, '"' | '\\'))
            .collect();
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{accepted},\"method\":\"x\",\"p\":\"{noise}\"}}\n"
        );
        wrapper.line(Direction::ToServer, &line).await;
        match wrapper.hear().await {
            Frame::Ack => accepted += 1,
            Frame::Refused(why) => break why,
            other => panic!("{other:?}"),
        }
        assert!(accepted < 400, "the disk never became full");
    };
    assert!(why.contains("no room"), "{why}");
    // What was acknowledged is there, what was refused is not; and it goes on when there is room again.
    assert_eq!(socket.rig.of(&["mcp.request"]).len() as u64, accepted);
    switch.fill(false);
    let deadline = std::time::Instant::now() + super::rig::DEADLINE;
    loop {
        wrapper.line(Direction::ToServer, CALL).await;
        match wrapper.hear().await {
            Frame::Ack => break,
            Frame::Refused(_) => assert!(std::time::Instant::now() < deadline),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(socket.rig.of(&["tool.request"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_stops_closes_what_wrappers_have_open() {
    let mut socket = socket(&Switch::default()).await;
    let mut wrapper = Wrapper::connect(&socket).await;
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
    wrapper.line(Direction::ToServer, CALL).await;
    assert_eq!(wrapper.hear().await, Frame::Ack);
    drop(socket.stop.take());
    within(socket.serving.take().unwrap()).await.unwrap();
    for kind in ["tool.response", "process.exit"] {
        let end = socket.rig.of(&[kind]).remove(0);
        assert_eq!(
            (state(&end), error(&end)),
            (State::Interrupted, Some("recorder_stopped"))
        );
    }
    assert!(matches!(within(wrapper.wire.next()).await, Ok(None)));
    assert!(!socket.rig.dir.path().join("recorder.sock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_recorder_does_not_take_the_socket() {
    let socket = socket(&Switch::default()).await;
    let error = Listener::bind(socket.rig.dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("another recorder"), "{error}");
    let mut wrapper = Wrapper::connect(&socket).await;
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
}

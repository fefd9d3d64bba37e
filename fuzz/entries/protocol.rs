//! What must hold for any bytes that an agent or a provider sends. Each function is the body of a fuzz target and of a
//! regular test over the committed corpus.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each target calls one entry; a broken promise must stop it"
)]

use protocol::{
    Api, ModelCall, ResponseReader, eventstream, jsonrpc, mcp, read_request, sse,
    websocket::{Deflate, Direction, Message, Reader},
};

/// The first byte says how the rest is cut; the events are those of the uncut bytes, and an event never crosses the limit.
pub fn sse(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let events = |size: usize| {
        let mut reader = sse::Reader::new(64);
        let mut seen = Vec::new();
        for chunk in data.chunks(size.max(1)) {
            reader.feed(chunk, &mut |event| {
                // An invalid byte reads as three.
                assert!(event.data.len() <= 3 * 64);
                seen.push((
                    event.name.into_owned(),
                    event.data.into_owned(),
                    event.last_event_id.into_owned(),
                ));
            });
        }
        (seen, reader.skipped(), reader.comments())
    };
    assert_eq!(events(usize::from(size)), events(data.len()));
}

/// What reads as a message keeps its bytes, and its view's texts are cut.
pub fn jsonrpc(data: &[u8]) {
    let Ok(payload) = jsonrpc::read(data) else {
        return;
    };
    for message in &payload.messages {
        let raw = message.raw.raw().as_bytes();
        assert!(data.windows(raw.len().max(1)).any(|window| window == raw));
        let view = mcp::view(message);
        let texts = [
            &view.method,
            &view.target,
            &view.protocol_version,
            &view.result_type,
            &view.traceparent,
        ];
        assert!(
            texts
                .into_iter()
                .flatten()
                .all(|text| text.len() <= protocol::limits::NAME_BYTES)
        );
        assert_eq!(view.problem.is_some(), view.shape == mcp::Shape::Invalid);
    }
}

/// The first byte says side, compression and cut; the messages are those of the uncut bytes.
pub fn websocket(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let direction = if how & 1 == 0 {
        Direction::ClientToServer
    } else {
        Direction::ServerToClient
    };
    let deflate = (how & 2 != 0).then_some(Deflate {
        server_no_context_takeover: how & 4 != 0,
        client_no_context_takeover: how & 4 != 0,
    });
    let messages = |size: usize| {
        let mut reader = Reader::new(direction, deflate, 256);
        let mut seen: Vec<Message> = Vec::new();
        for chunk in data.chunks(size.max(1)) {
            reader.feed(chunk, &mut |message| {
                assert!(message.payload.len() <= 256);
                seen.push(message);
            });
        }
        (seen, reader.problem())
    };
    assert_eq!(messages(usize::from(how >> 3)), messages(data.len()));
}

/// The first byte says API, framing and cut; the answer is that of the uncut bytes, within its bounds, and the request reader
/// takes the same bytes.
pub fn readers(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let Some(&api) = Api::ALL.get(usize::from(how) % Api::ALL.len()) else {
        return;
    };
    let media = [
        "application/json",
        "text/event-stream",
        "application/vnd.amazon.eventstream",
    ];
    let media = media.get(usize::from(how / 5) % 3).copied();
    let encoding = ["gzip", "deflate", "br", "zstd"]
        .get(usize::from(how / 16))
        .copied();
    let answer = |size: usize| {
        let mut reader = ResponseReader::with_limit(api, media, encoding, 200, 1 << 16);
        data.chunks(size.max(1))
            .for_each(|chunk| reader.feed(chunk));
        reader.finish(true)
    };
    let view = answer(data.len());
    let cut = answer(3);
    if encoding.is_some() && view.problem.is_some() {
        // How much a decoder gives of a broken stream before it notices depends on how it is fed.
        assert!(cut.problem.is_some());
    } else {
        assert_eq!(cut, view);
    }
    assert!(view.text.len() <= protocol::limits::EXCERPT_BYTES);
    assert!(view.tool_calls.len() <= protocol::limits::ENTRIES);
    let request = read_request(&ModelCall::from(api), data);
    assert!(request.messages.len() as u64 <= request.gen_ai.messages.unwrap_or_default());
    eventstream::Reader::new(256).feed(data, &mut |frame| assert!(frame.payload.len() <= 256));
}

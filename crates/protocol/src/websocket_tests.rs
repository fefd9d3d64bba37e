use super::*;
use proptest::prelude::*;

struct Wire {
    direction: Direction,
    bytes: Vec<u8>,
}

impl Wire {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            bytes: Vec::new(),
        }
    }

    /// Writes a frame with `first` as its first byte (FIN, RSV, opcode).
    fn frame(&mut self, first: u8, payload: &[u8]) {
        let masked = self.direction == Direction::ClientToServer;
        let bit = if masked { 0x80 } else { 0 };
        self.bytes.push(first);
        match payload.len() {
            short @ 0..126 => self.bytes.push(bit | u8::try_from(short).unwrap()),
            medium @ 126..65536 => {
                self.bytes.push(bit | 126);
                self.bytes
                    .extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                self.bytes.push(bit | 127);
                self.bytes.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        if masked {
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            self.bytes.extend_from_slice(&mask);
            self.bytes.extend(
                payload
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        } else {
            self.bytes.extend_from_slice(payload);
        }
    }
}

fn read(
    wire: &Wire,
    deflate: Option<Deflate>,
    limit: usize,
    chunk: usize,
) -> (Vec<Message>, Reader) {
    let mut reader = Reader::new(wire.direction, deflate, limit);
    let mut messages = Vec::new();
    for chunk in wire.bytes.chunks(chunk.max(1)) {
        reader.feed(chunk, &mut |message| messages.push(message));
    }
    (messages, reader)
}

fn told(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|m| {
            format!(
                "{} {} {}",
                m.opcode.as_str(),
                String::from_utf8_lossy(&m.payload),
                m.frames
            )
        })
        .collect()
}

#[test]
fn the_examples_of_the_standard_read() {
    // RFC 6455, section 5.7.
    let table: [(Direction, &[u8], &[&str]); 5] = [
        (
            Direction::ServerToClient,
            &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
            &["text Hello 1"],
        ),
        (
            Direction::ClientToServer,
            &[
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
            ],
            &["text Hello 1"],
        ),
        (
            Direction::ServerToClient,
            &[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f],
            &["text Hello 2"],
        ),
        (
            Direction::ServerToClient,
            &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
            &["ping Hello 1"],
        ),
        (
            Direction::ServerToClient,
            &[0x01, 0x01, 0x61, 0x8a, 0x00, 0x80, 0x01, 0x62],
            &["pong  1", "text ab 2"],
        ),
    ];
    for (direction, bytes, want) in table {
        let wire = Wire {
            direction,
            bytes: bytes.to_vec(),
        };
        assert_eq!(told(&read(&wire, None, 100, 1).0), want);
    }
}

#[test]
fn compressed_examples_of_the_standard_read() {
    // RFC 7692, sections 7.2.3.1 to 7.2.3.5: "Hello" compressed, twice with a shared window, stored, and in a final block.
    let agreed = Deflate::negotiated("permessage-deflate; client_max_window_bits").unwrap();
    let table: [(&[&[u8]], &[&str]); 4] = [
        (
            &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]],
            &["text Hello 1"],
        ),
        (
            &[
                &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
                &[0xf2, 0x00, 0x11, 0x00, 0x00],
            ],
            &["text Hello 1", "text Hello 1"],
        ),
        (
            &[&[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ]],
            &["text Hello 1"],
        ),
        (
            &[
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
                &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            ],
            &["text Hello 1", "text Hello 1"],
        ),
    ];
    for (payloads, want) in table {
        let mut wire = Wire::new(Direction::ServerToClient);
        for payload in payloads {
            wire.frame(0xC1, payload);
        }
        let (messages, reader) = read(&wire, Some(agreed), 1000, 3);
        assert_eq!(told(&messages), want);
        assert!(messages.iter().all(|message| !message.raw) && reader.problem().is_none());
    }
}

#[test]
fn compression_without_agreement_or_gone_wrong_stays_raw() {
    let mut wire = Wire::new(Direction::ServerToClient);
    wire.frame(0xC1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    let (messages, reader) = read(&wire, None, 100, 100);
    assert!(messages[0].raw && reader.problem().is_none());

    let mut wire = Wire::new(Direction::ServerToClient);
    wire.frame(0xC1, &[0xff, 0xff, 0xff]);
    wire.frame(0xC1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    wire.frame(0x81, b"plain");
    let deflate = Deflate::negotiated("foo, Permessage-Deflate; server_no_context_takeover");
    let (messages, _) = read(&wire, deflate, 100, 100);
    assert_eq!(
        messages.iter().map(|m| m.raw).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[test]
fn negotiation_reads_what_the_server_agreed_to() {
    let table = [
        ("", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate", Some((false, false))),
        (
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
            Some((true, false)),
        ),
        (
            "other; a=b, permessage-deflate;client_no_context_takeover",
            Some((false, true)),
        ),
    ];
    for (header, want) in table {
        let got = Deflate::negotiated(header)
            .map(|d| (d.server_no_context_takeover, d.client_no_context_takeover));
        assert_eq!(got, want, "{header}");
    }
}

#[test]
fn what_is_not_a_frame_is_named_and_stops_the_reading() {
    use Direction::{ClientToServer, ServerToClient};
    let table: [(Direction, &[u8], Problem); 9] = [
        (ServerToClient, &[0x83, 0x00], Problem::Opcode),
        (ServerToClient, &[0xA1, 0x00], Problem::ReservedBits),
        (ServerToClient, &[0xC9, 0x00], Problem::ReservedBits),
        (ServerToClient, &[0x09, 0x00], Problem::Control),
        (ServerToClient, &[0x89, 0x7E], Problem::Control),
        (ServerToClient, &[0x80, 0x00], Problem::Fragments),
        (
            ServerToClient,
            &[0x01, 0x00, 0x01, 0x00],
            Problem::Fragments,
        ),
        (ClientToServer, &[0x81, 0x00], Problem::Mask),
        (
            ServerToClient,
            &[0x82, 0x7F, 0xFF, 0, 0, 0, 0, 0, 0, 0],
            Problem::Length,
        ),
    ];
    for (direction, bytes, want) in table {
        let wire = Wire {
            direction,
            bytes: [bytes, &[0x81, 0x01, b'x']].concat(),
        };
        let (messages, reader) = read(&wire, None, 100, 1);
        assert_eq!(
            (reader.problem(), messages.len()),
            (Some(want), 0),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_length_no_memory_could_hold_is_read_without_reserving_it() {
    let mut bytes = vec![0x82, 0x7F];
    bytes.extend_from_slice(&(i64::MAX as u64).to_be_bytes());
    bytes.extend_from_slice(&[7; 1000]);
    let (messages, reader) = read(
        &Wire {
            direction: Direction::ServerToClient,
            bytes,
        },
        None,
        100,
        10,
    );
    assert!(messages.is_empty() && reader.problem().is_none());
    assert_eq!(reader.unfinished(), 1010);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_chunking_gives_the_same_messages(
        client in any::<bool>(),
        frames in prop::collection::vec((any::<bool>(), 0..70_000usize, any::<bool>()), 0..8),
        chunk in 1..5000usize,
    ) {
        let direction = if client { Direction::ClientToServer } else { Direction::ServerToClient };
        let mut wire = Wire::new(direction);
        let (mut open, mut whole, mut want) = (false, Vec::new(), Vec::new());
        let mut finished_at = 0;
        for (last, length, ping) in frames {
            let payload: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            wire.frame(if last { 0x80 } else { 0 } | if open { 0 } else { 2 }, &payload);
            whole.extend_from_slice(&payload);
            open = !last;
            if ping {
                wire.frame(0x89, b"p");
                if !open { want.push((Opcode::Binary, std::mem::take(&mut whole))); }
                want.push((Opcode::Ping, b"p".to_vec()));
            } else if !open {
                want.push((Opcode::Binary, std::mem::take(&mut whole)));
            }
            if !open { finished_at = wire.bytes.len(); }
        }
        let (messages, reader) = read(&wire, None, 1 << 20, chunk);
        let got: Vec<_> = messages.into_iter().map(|m| (m.opcode, m.payload)).collect();
        prop_assert_eq!(got, want);
        prop_assert_eq!(reader.unfinished(), (wire.bytes.len() - finished_at) as u64);
    }

    #[test]
    fn a_message_over_the_limit_keeps_its_beginning(length in 0..400usize, limit in 0..300usize, chunk in 1..64usize) {
        let mut wire = Wire::new(Direction::ClientToServer);
        let payload: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        wire.frame(0x82, &payload);
        let (messages, _) = read(&wire, None, limit, chunk);
        prop_assert_eq!(&messages[0].payload, &payload[..limit.min(length)]);
        prop_assert_eq!(messages[0].truncated, (length - limit.min(length)) as u64);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), client in any::<bool>(), chunk in 1..40usize) {
        let direction = if client { Direction::ClientToServer } else { Direction::ServerToClient };
        let deflate = Deflate::negotiated("permessage-deflate");
        read(&Wire { direction, bytes }, deflate, 64, chunk);
    }
}

use super::*;
use proptest::prelude::*;

fn encoded(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.push(u8::try_from(key.len()).unwrap());
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE + headers.len() + payload.len() + TRAILER;
    let mut frame = Vec::new();
    frame.extend_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
    frame.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&u32::try_from(crc32(&frame)).unwrap().to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&u32::try_from(crc32(&frame)).unwrap().to_be_bytes());
    frame
}

fn read(bytes: &[u8], chunk: usize, limit: usize) -> (Vec<String>, Reader) {
    let mut reader = Reader::new(limit);
    let mut seen = Vec::new();
    for chunk in bytes.chunks(chunk.max(1)) {
        reader.feed(chunk, &mut |frame| {
            seen.push(format!(
                "{} {} {}",
                frame.message_type,
                frame.name,
                String::from_utf8_lossy(frame.payload)
            ));
        });
    }
    (seen, reader)
}

proptest! {
    #[test]
    fn every_chunking_gives_the_same_frames(payloads in prop::collection::vec("\\PC{0,40}", 0..6), chunk in 1..64usize) {
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| encoded("delta", payload.as_bytes())).collect();
        let want: Vec<_> = payloads.iter().map(|payload| format!("event delta {payload}")).collect();
        let (seen, reader) = read(&stream, chunk, 1000);
        prop_assert_eq!(seen, want);
        prop_assert!(!reader.in_frame() && reader.problem().is_none());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1..50usize) {
        read(&bytes, chunk, 100);
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_frame(at in 0..1000usize, bit in 0..8u8) {
        let mut stream = encoded("delta", b"{\"text\":\"hello\"}");
        let at = at % stream.len();
        stream[at] ^= 1 << bit;
        prop_assert!(read(&stream, 1000, 1000).0.is_empty());
    }
}

#[test]
fn a_frame_over_the_limit_is_counted_and_the_next_one_is_read() {
    let stream = [
        encoded("a", b"1"),
        encoded("b", &[b'x'; 500]),
        encoded("c", b"3"),
    ]
    .concat();
    let (seen, reader) = read(&stream, 11, 200);
    assert_eq!(seen, ["event a 1", "event c 3"]);
    assert_eq!(reader.skipped(), 1);
}

use super::*;
use proptest::prelude::*;
use std::io::Write as _;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// All payloads of an answer that comes in chunks of these sizes, and which of them were admitted.
fn read(encoding: Option<&str>, bytes: &[u8], sizes: &[usize]) -> (Vec<(String, bool)>, Rest) {
    let mut reading = Reading::new(200, encoding, "text/event-stream");
    let (mut all, mut rest, mut sizes) = (Vec::new(), bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(sizes.next().unwrap().min(&rest.len()).to_owned());
        reading.feed(chunk);
        while reading.is_behind() {
            assert!(reading.payloads.len() <= protocol::encoding::PIECE / 4);
            while let Some(payload) = reading.next() {
                let admitted = reading.admits(1);
                all.push((payload, admitted));
            }
            reading.go_on();
        }
        rest = behind;
    }
    let rest = reading.finish();
    (all, rest)
}

#[test]
fn what_expands_is_read_a_piece_at_a_time_and_counted_beyond_the_bound() {
    let plain = b"data:1\n\n".repeat(200_000);
    let (all, rest) = read(Some("gzip"), &gzip(&plain), &[32 * 1024]);
    assert_eq!(all.len(), 200_000);
    assert_eq!(all.iter().filter(|(_, admitted)| *admitted).count(), 65_536);
    assert_eq!((rest.left_out, rest.is_cut), (200_000 - 65_536, false));
}

#[test]
fn a_stream_of_real_messages_may_be_as_long_as_it_is_sent() {
    let event = "data:{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
    let (all, rest) = read(None, event.repeat(70_000).as_bytes(), &[32 * 1024]);
    assert!(all.iter().all(|(_, admitted)| *admitted));
    assert_eq!(rest.left_out, 0);
    let (all, _) = read(None, &b"data:1\n\n".repeat(70_000), &[32 * 1024]);
    assert!(all[65_536..].iter().all(|(_, admitted)| !*admitted));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_chunking_gives_the_same_payloads(
        events in prop::collection::vec("(data: [a-z{}\":]{0,90}\n){1,3}\n", 0..3000),
        sizes in prop::collection::vec(1..40_000usize, 1..6),
    ) {
        let plain = events.concat();
        let whole = read(None, plain.as_bytes(), &[usize::MAX]).0;
        prop_assert_eq!(&read(None, plain.as_bytes(), &sizes).0, &whole);
        prop_assert_eq!(&read(Some("gzip"), &gzip(plain.as_bytes()), &sizes).0, &whole);
    }
}

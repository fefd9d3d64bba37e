//! The live figures count what passes.

use crate::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_counted() {
    let upstream = Upstream::answering(ok("application/json", b"{\"a\":1}")).await;
    let rig = Rig::new(upstream.addr).await;
    for _ in 0..3 {
        rig.exchange(&post("/raw/x", b"hello")).await;
    }
    rig.exchange(b"\x16\x03\x01 this is not HTTP\r\n\r\n").await;
    rig.closed(3).await;
    let figures = rig.gateway.figures();
    let sample = figures.sample();
    assert_eq!(
        (sample.calls, sample.request_bytes, sample.response_bytes),
        (3, 15, 21)
    );
    assert_eq!(sample.malformed, 1);
    let raw = &sample.upstreams["raw"];
    assert_eq!((raw.count, raw.failures), (3, 0));
    assert!(raw.max_us > 0 && raw.sum_us >= raw.max_us);
    // Latencies are those since the sample before.
    assert_eq!(figures.sample().upstreams["raw"].count, 0);
}

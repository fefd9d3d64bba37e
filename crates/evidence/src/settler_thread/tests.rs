#![allow(clippy::unwrap_used, reason = "tests")]

use crate::recorder::{Options, Recorder};
use crate::segments::Allocator;
use std::sync::Arc;
use storage::SimDisk;

#[tokio::test]
async fn the_private_key_that_ends_is_nowhere_in_the_process() {
    let disk = Arc::new(SimDisk::new());
    let options = Options::new("unused");
    let allocator = Allocator::start(disk.clone(), options.segment_bytes).unwrap();
    let (recorder, mut sequencer, mut settler) =
        Recorder::assemble(disk, None, &options, Box::new(allocator)).unwrap();
    let first = Arc::downgrade(settler.keys.key());
    recorder.start("settler", move || settler.run()).unwrap();
    recorder
        .start("sequencer", move || sequencer.run())
        .unwrap();
    assert!(first.strong_count() > 0);
    assert_eq!(recorder.rotate().await.unwrap().epoch, 2);
    assert_eq!(first.strong_count(), 0);
    recorder.close().await.unwrap();
}

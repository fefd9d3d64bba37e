//! What an operator asks of the recorder besides recording.

use super::source::World;
use crate::error::Error;
use crate::recorder::Recorder;

/// Publishes a checkpoint, which must cover what was durable when it was asked for.
pub(super) async fn publish(world: World, recorder: Recorder) {
    let durable = recorder.status().durable;
    if let Ok(published) = recorder.publish().await {
        assert!(published.size >= durable, "{} of {durable}", published.size);
        let root = published.root.to_string();
        let model = &mut *world.model.borrow_mut();
        let known = model.checkpoints.insert(published.size, root.clone());
        assert!(known.is_none_or(|known| known == root));
    }
}

/// Changes the log's key.
pub(super) async fn rotate(world: World, recorder: Recorder) {
    world.model.borrow_mut().rotates = true;
    if let Ok(rotated) = recorder.rotate().await {
        world.model.borrow_mut().rotated.push(rotated);
    }
}

/// Revokes a key, the one in force as often as another, with a size or without.
pub(super) async fn revoke(world: World, recorder: Recorder) {
    let (dice, status) = (&world.dice, recorder.status());
    let epoch = if dice.once_in(2) {
        status.epoch
    } else {
        1 + dice.below(status.epoch)
    };
    let size = dice.once_in(3).then(|| dice.below(status.durable + 1));
    {
        let model = &mut *world.model.borrow_mut();
        model.rotates = true;
        model.revoking += 1;
    }
    let answer = recorder.revoke(epoch, size, "it was shown around").await;
    let model = &mut *world.model.borrow_mut();
    model.revoking -= 1;
    match answer {
        Ok(revoked) => {
            assert_eq!(revoked.epoch, epoch);
            assert!(size.is_none_or(|size| size == revoked.size));
            model.revoked.push(revoked);
        }
        // Not every size is one that the key may have signed; and what was revoked before is not given back.
        Err(Error::Event(why)) => {
            assert!(
                size.is_some() || why.contains("was revoked by event"),
                "{why}"
            );
        }
        Err(_) => {}
    }
}

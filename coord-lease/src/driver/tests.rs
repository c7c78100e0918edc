//! A driver between a holder and a script that plays the store.

mod script;

use std::future::pending;

use self::script::{Failed, Lock, Object, Reporting, Script, begin, soon};
use super::*;
use crate::engine::{Effect, Goal, Wait};

/// A contender that has acquired a lock that did not exist, and its watch.
async fn holder(endless: bool) -> (Held<Lock>, Script, Reporting<Change<Object>>) {
    let (started, mut script) = begin(Goal::Acquire, Wait::Forever, endless);
    let acquired = tokio::spawn(started.acquired(pending()));
    script.read(None).await;
    assert_eq!(script.write(Ok(1)).await.holder, Some("me"));
    let held = soon(acquired).await.unwrap();
    let held = held.unwrap_or_else(|why| panic!("{why:?}"));
    let watch = script.watch("1").await;
    (held, script, watch)
}

fn is_failed(result: &Result<(), Failure<Lock>>) -> bool {
    matches!(result, Err(Failure::Request(Failed(_))))
}

#[tokio::test]
async fn a_holder_learns_that_its_lease_goes_on_and_that_it_is_lost() {
    let (held, mut script, watch) = holder(false).await;
    assert_eq!(*held.grant(), 1);
    assert_eq!(held.lease().lost_because(), None);
    let first = held.lease().deadline();
    // The first failure says nothing yet, since there is time for more tries.
    let (renewed, _) = soon(async {
        tokio::join!(held.renew(), async {
            script.write(Err(Effect::None)).await;
            script.write(Ok(2)).await;
        })
    })
    .await;
    assert!(renewed.is_ok(), "{renewed:?}");
    assert!(first.is_some() && held.lease().deadline() > first);
    let taken = Change::Written(Object::held_by("other", 3));
    watch.send(Ok(Some(taken))).unwrap();
    assert_eq!(soon(held.lease().lost()).await, LeaseLost::Taken);
    let renewed = soon(held.renew()).await;
    assert!(
        matches!(renewed, Err(Failure::Lost(LeaseLost::Taken))),
        "{renewed:?}"
    );
    assert!(
        soon(held.release()).await.is_ok(),
        "nothing of ours is left"
    );
}

#[tokio::test]
async fn a_lease_without_an_end_tells_of_the_first_failure() {
    let (held, mut script, _watch) = holder(true).await;
    assert_eq!(
        (held.lease().deadline(), held.lease().lost_because()),
        (None, None)
    );
    let (renewed, _) =
        soon(async { tokio::join!(held.renew(), script.write(Err(Effect::None))) }).await;
    assert!(is_failed(&renewed), "{renewed:?}");
}

#[tokio::test]
async fn a_release_says_whether_it_was_done() {
    for (result, is_done) in [(Ok(2), true), (Err(Effect::Final), false)] {
        let (held, mut script, _watch) = holder(false).await;
        let (released, written) =
            soon(async { tokio::join!(held.release(), script.write(result)) }).await;
        assert_eq!(written.holder, None);
        assert_eq!(released.is_ok(), is_done);
        assert_eq!(is_failed(&released), !is_done, "{released:?}");
        assert!(script.call().await.is_none(), "the driver has ended");

        let (started, mut script) = begin(Goal::Release, Wait::No, false);
        let (released, _) = soon(async {
            tokio::join!(started.released(), async {
                script.read(Some(Object::held_by("me", 1))).await;
                script.write(result).await
            })
        })
        .await;
        assert_eq!(released.is_ok(), is_done);
        assert_eq!(is_failed(&released), !is_done, "{released:?}");
    }
}

#[tokio::test]
async fn who_drops_a_lock_releases_it_and_who_detaches_leaves_it() {
    let (held, mut script, _watch) = holder(false).await;
    drop(held);
    assert_eq!(script.write(Ok(2)).await.holder, None);
    assert!(script.call().await.is_none());
    let (held, mut script, _watch) = holder(false).await;
    held.detach();
    assert!(script.call().await.is_none());
}

/// A contender that waits for another, and the watches of the lock and of this holder.
async fn waiter(started: &mut Script) -> (Reporting<Change<Object>>, Reporting<u32>) {
    started.read(Some(Object::held_by("other", 1))).await;
    started.read_subject(7).await;
    started.tells("Notice(7)").await;
    let watches = started.watch_both().await;
    started.tells("Waiting(\"other 1\")").await;
    watches
}

#[tokio::test]
async fn a_waiter_hears_what_its_watches_report() {
    let (started, mut script) = begin(Goal::Acquire, Wait::Forever, false);
    let acquired = tokio::spawn(started.acquired(pending()));
    let (lock, holder) = waiter(&mut script).await;
    for fact in [8, 9] {
        holder.send(Ok(Some(fact))).unwrap();
        script.tells(&format!("Notice({fact})")).await;
    }
    for version in [2, 3] {
        let changed = Change::Written(Object::held_by("other", version));
        lock.send(Ok(Some(changed))).unwrap();
        script.tells(&format!("Waiting(\"other {version}\")")).await;
    }
    // Whatever was missed between two watches is read.
    lock.send(Ok(None)).unwrap();
    script.read(Some(Object::held_by("other", 4))).await;
    script.tells("Waiting(\"other 4\")").await;
    let lock = script.watch("4").await;
    lock.send(Ok(Some(Change::Deleted(Version::new("5")))))
        .unwrap();
    assert_eq!(script.write(Ok(6)).await.holder, Some("me"));
    let held = soon(acquired).await.unwrap();
    assert_eq!(held.map(|held| *held.grant()).ok(), Some(6));
}

#[tokio::test]
async fn who_does_not_get_the_lock_is_told_why() {
    let (started, mut script) = begin(Goal::Acquire, Wait::No, false);
    let acquired = tokio::spawn(started.acquired(pending()));
    script.read(Some(Object::held_by("other", 1))).await;
    script.read_subject(7).await;
    let why = soon(acquired).await.unwrap().err();
    assert!(
        matches!(&why, Some(Failure::Held(by)) if by == "other 1"),
        "{why:?}"
    );

    let (started, mut script) = begin(Goal::Acquire, Wait::Forever, false);
    let (cancel, cancelled) = oneshot::channel();
    let acquired = tokio::spawn(started.acquired(async { cancelled.await.unwrap() }));
    let _watches = waiter(&mut script).await;
    cancel.send(()).unwrap();
    let why = soon(acquired).await.unwrap().err();
    assert!(matches!(why, Some(Failure::Cancelled)), "{why:?}");
}

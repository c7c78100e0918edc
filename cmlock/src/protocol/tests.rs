use std::fmt;

use coord_lease::engine::{Effect, StoreTime};

use super::*;

#[derive(Debug)]
struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl std::error::Error for Failed {}

impl RequestError for Failed {
    fn effect(&self) -> Effect {
        Effect::Unknown
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// So long after the boot, when the server's clock shows something between the two.
fn at(boot: u64, earliest: u64, latest: u64) -> Moment {
    let [boot, earliest, latest] = [boot, earliest, latest].map(Duration::from_secs);
    Moment {
        boot: BootInstant::after_boot(boot),
        store: Some(StoreTime { earliest, latest }),
    }
}

fn lease(nonce: u64) -> NewLease {
    NewLease {
        length: Some(Duration::from_secs(6)),
        ..NewLease::new(Nonce(nonce))
    }
}

/// Who holds it.
fn us(lock: &mut PodLock<Failed>) -> Holder {
    let owner = Owner {
        name: "a".to_owned(),
        uid: "a-1".to_owned(),
    };
    let us = Holder::new("me", owner);
    lock.learn(&Subject::Us, Fact::Us(Ok(us.clone()), None));
    us
}

/// Whoever was answered slowly at first knows later that the clock is behind what it has reckoned
/// with. Its extension may be done when its time is over, while the holder goes by what was
/// granted.
// Holds cmlock-4.
#[test]
fn an_extension_does_not_end_before_what_is_held() {
    let mut lock = PodLock::<Failed>::new("x", true);
    let us = us(&mut lock);
    let slow = at(30, 1030, 1061);
    let (Write::Create(created), _) = lock.claim(None, lease(1), slow) else {
        panic!("not created");
    };
    lock.observe(Some(&created), slow);
    let expires = |object: &ConfigMap| Record::read(object).unwrap().expires;
    let extended = |grant, now| {
        let Ok(Write::Update(extended)) = lock.extend(&created, grant, lease(2), now) else {
            panic!("not updated");
        };
        expires(&extended).map(Time::as_secs)
    };
    assert_eq!(expires(&created), Some(Time::from_secs(1067)));
    let quick = at(32, 1032, 1033);
    assert_eq!(extended(Some(&us), quick), Some(1067));
    assert_eq!(extended(Some(&us), at(70, 1070, 1071)), Some(1077));
    // Nobody believes in it that is not granted.
    assert_eq!(extended(None, quick), Some(1039));
}

/// Somebody has removed the expiry of a lock that is held: its holder believes in it for good.
#[test]
fn an_extension_gives_no_end_to_what_has_none() {
    let mut lock = PodLock::<Failed>::new("x", true);
    let us = us(&mut lock);
    let now = at(30, 1030, 1031);
    let (Write::Create(mut object), _) = lock.claim(None, lease(1), now) else {
        panic!("not created");
    };
    object.data = None;
    lock.observe(Some(&object), now);
    let Ok(Write::Update(extended)) = lock.extend(&object, Some(&us), lease(2), now) else {
        panic!("not updated");
    };
    assert_eq!(Record::read(&extended).unwrap().expires, None);
}

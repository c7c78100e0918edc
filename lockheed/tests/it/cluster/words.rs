//! What messages say of a lock where clocks may differ.

use testkit::eventually;

use super::{Place, commands::run};

/// Clocks may differ: a lease that has expired by its own time is shown as such, and `break` ends
/// it.
#[test]
#[ignore = "no cluster"]
fn a_lease_that_is_over_by_its_own_word_is_called_that() {
    let place = Place::new();
    let on = |arguments: &[&str]| run(&place.user, arguments);
    assert_eq!(
        on(&["acquire", "x", "--id", "me", "--duration", "1s"]).0,
        Some(0)
    );
    eventually("it is over", || on(&["list"]).1.contains("expired "));
    let (_, inspected, _) = on(&["inspect", "x"]);
    let over = "over     the lease of \"me\" expired ";
    assert!(inspected.contains(over), "{inspected}");
    for arguments in [
        &["delete", "x"][..],
        &["acquire", "x", "--id", "you", "--no-wait"],
    ] {
        let (status, _, error) = on(arguments);
        assert_eq!(status, Some(16), "{error}");
        let known = "Z, which is past, but clocks may differ\n";
        assert!(
            error.contains("lock x is held by \"me\" until 20"),
            "{error}"
        );
        assert!(error.ends_with(known), "{error}");
    }
    let (_, told, _) = on(&["break", "x", "--yes"]);
    assert!(
        told.starts_with("ended the lease of \"me\", which expired "),
        "{told}"
    );
    assert!(place.record("x").leases.is_empty());
    let (status, _, error) = on(&["renew", "x", "--id", "me"]);
    assert_eq!(status, Some(116), "{error}");
    assert!(
        error.contains(" ended its lease with `break` at 20"),
        "{error}"
    );
    for arguments in [&["inspect", "none"][..], &["renew", "none", "--id", "me"]] {
        let answer = (
            Some(2),
            String::new(),
            "lockheed: lock none does not exist\n".to_owned(),
        );
        assert_eq!(on(arguments), answer);
    }
}

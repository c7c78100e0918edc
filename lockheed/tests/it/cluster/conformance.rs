//! The suite for every store, on this one.

use super::Place;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_store_of_config_maps() {
    let place = Place::new();
    // It deletes, too, for which the shipped Role has no right.
    let user = place.namespace.user(
        "deleter",
        &[(
            "configmaps",
            &["get", "list", "watch", "create", "update", "delete"],
        )],
    );
    lockheed::conformance::check(&super::store(&user, "lockheed-tests/0").await).await;
}

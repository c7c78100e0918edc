//! The conformance suite, on this store.

use super::Place;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_store_of_config_maps() {
    let place = Place::new();
    // The suite also deletes, which the shipped Role does not allow.
    let user = place.namespace.user(
        "deleter",
        &[(
            "configmaps",
            &["get", "list", "watch", "create", "update", "delete"],
        )],
    );
    lockheed::conformance::check(&super::store(&user, "lockheed-tests/0").await).await;
}

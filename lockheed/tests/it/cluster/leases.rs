//! Locks in Leases: what they share with locks in ConfigMaps, and what is special about them.

mod client_go;
mod objects;

use coord_kube::Cluster;
use lockheed::LeaseStore;

use super::{Place, cluster, commands, crash};

/// A user who may do everything in this namespace.
async fn admin(place: &Place) -> Cluster {
    let cluster = cluster(&place.namespace.admin(), "admin/0").await;
    cluster.within(place.namespace.name()).unwrap()
}

/// All annotations of an object together may have 256 KiB.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_store_of_leases() {
    let place = Place::of_leases();
    let store = LeaseStore::of(admin(&place).await);
    lockheed::conformance::check_up_to(&store, 250_000).await;
}

#[test]
#[ignore = "no cluster"]
fn a_lease_is_held_across_commands_listed_inspected_and_broken() {
    commands::hold_list_inspect_and_break(&Place::of_leases());
}

#[test]
#[ignore = "no cluster"]
fn a_lease_is_taken_over_by_a_condition_alone() {
    commands::take_over_by_a_condition(&Place::of_leases());
}

#[test]
#[ignore = "no cluster"]
fn leases_are_listed_as_they_change() {
    commands::watch_a_list(&Place::of_leases());
}

#[test]
#[ignore = "no cluster"]
fn after_a_killed_holder_of_a_lease_the_next_begins_when_it_is_over() {
    crash::kill_a_holder_that_renewed(&Place::of_leases());
}

#[test]
#[ignore = "no cluster"]
fn a_stopped_holder_of_a_lease_has_ended_its_work_by_its_deadline() {
    crash::stop_a_holder(&Place::of_leases());
}

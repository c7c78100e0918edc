//! Several holders at once, and queues, in ConfigMaps and in Leases.

use super::Place;
use crate::{sharing::Game, turns::Turns};

/// The game on a real API server, with locks of both kinds.
macro_rules! on_the_server {
    ($($name:ident($($argument:expr),*);)*) => {$(
        #[tokio::test]
        #[ignore = "no cluster"]
        async fn $name() {
            Game::new(Place::new().store().await, "x").$name($($argument),*).await;
            Game::new(Place::of_leases().lease_store().await, "x").$name($($argument),*).await;
        }
    )*};
}

// Holds lockheed-1.
#[tokio::test]
#[ignore = "no cluster"]
async fn readers_and_writers() {
    let place = Place::new();
    let game = Game::new(place.store().await, "x");
    game.readers_and_writers(10).await;
}

// Holds lockheed-1.
#[tokio::test]
#[ignore = "no cluster"]
async fn slots() {
    let place = Place::new();
    Game::new(place.store().await, "x").slots(10).await;
}

on_the_server! {
    other_numbers();
    in_order(30);
    who_gives_up_leaves();
    by_priority();
    each_member_is_ended_alone();
}

macro_rules! by_processes {
    ($($name:ident)*) => {$(
        #[test]
        #[ignore = "no cluster"]
        fn $name() {
            let place = Place::new();
            Turns::new(|| place.lockheed()).$name();
        }
    )*};
}

by_processes! {
    who_is_killed_holds_up_nobody_for_long
    who_is_stopped_loses_its_turn_and_is_served_once
    who_waits_is_shown
    what_cannot_be_is_refused
}

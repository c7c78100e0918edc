use super::*;

#[test]
fn pauses_grow_to_a_limit_and_start_again() {
    let (mut random, mut backoff) = (Random::new(1), Backoff::new(Duration::from_secs(1)));
    let pauses: Vec<_> = (0..10).map(|_| backoff.pause(&mut random, None)).collect();
    assert!(pauses[0] < Duration::from_millis(76) && pauses[0] >= Duration::from_millis(25));
    assert!(pauses[9] >= Duration::from_millis(500) && pauses[9] <= Duration::from_millis(1500));
    backoff.reset();
    assert!(backoff.pause(&mut random, None) < Duration::from_millis(76));
    let asked = backoff.pause(&mut random, Some(Duration::from_secs(3600)));
    assert_eq!(asked, Duration::from_secs(1));
}

/// The longest of a hundred pauses.
fn longest(window: &ContentionWindow) -> Duration {
    let mut random = Random::new(1);
    (0..100).map(|_| window.pause(&mut random)).max().unwrap()
}

#[test]
fn who_was_passed_more_often_tries_first() {
    let round_trip = Duration::from_millis(10);
    let passed = |times: u32, turn| {
        let mut window = with_round_trip(round_trip);
        window.found_held(Some(turn));
        for _ in 0..times {
            window.spared(round_trip, Some(turn));
        }
        window
    };
    let mut random = Random::new(1);
    let newcomer = passed(1, 40).pause(&mut random);
    assert!(newcomer > longest(&passed(40, 40)), "{newcomer:?}");
    let collided = |times, turn| {
        let mut window = passed(times, turn);
        window.collided();
        longest(&window)
    };
    assert!(collided(80, 40) < collided(40, 40));
}

fn with_round_trip(round_trip: Duration) -> ContentionWindow {
    let mut window = ContentionWindow::new();
    window.answered_after(round_trip);
    window
}

#[test]
fn a_waiter_that_is_alone_does_not_pause_and_one_of_a_crowd_not_for_long() {
    let round_trip = Duration::from_millis(10);
    let mut window = with_round_trip(round_trip);
    window.found_held(None);
    assert_eq!(longest(&window), Duration::ZERO, "{window:?}");
    for _ in 0..10 {
        window.collided();
    }
    let alone = longest(&window);
    assert!(alone > round_trip * 2, "{window:?}");
    assert!(alone < round_trip * 16, "{window:?}");
}

#[test]
fn the_holder_that_is_found_has_a_turn_too() {
    let round_trip = Duration::from_millis(10);
    let mut window = with_round_trip(round_trip);
    window.found_held(Some(40));
    let mut random = Random::new(1);
    assert!(window.pause(&mut random) >= round_trip * 10);
}

#[test]
fn whoever_comes_new_leaves_a_lock_to_those_who_have_waited_and_not_for_long() {
    let round_trip = Duration::from_millis(10);
    let mut newcomer = with_round_trip(round_trip);
    newcomer.found_free(40);
    assert_eq!(longest(&newcomer), round_trip * 2);
    assert_eq!(newcomer.passed(), None);
}

#[test]
fn whoever_jumps_the_queue_makes_those_who_wait_try_sooner_until_one_is_served() {
    let round_trip = Duration::from_millis(10);
    let mut window = with_round_trip(round_trip);
    window.found_held(Some(40));
    window.collided();
    let (passed, patient) = (window.passed(), longest(&window));
    for jumped in 1..=3 {
        window.spared(round_trip, None);
        let shorter = patient / (1 << jumped);
        assert!(longest(&window).abs_diff(shorter) < Duration::from_micros(1));
    }
    assert_eq!(window.passed(), passed);
    window.spared(round_trip, Some(41));
    assert!(longest(&window) > patient * 3 / 4, "{window:?}");
}

#[test]
fn nobodys_word_puts_a_waiter_off_for_long() {
    let round_trip = Duration::from_millis(1);
    let mut window = with_round_trip(round_trip);
    window.spared(round_trip, Some(u32::MAX));
    assert!(longest(&window) <= Duration::from_secs(1), "{window:?}");
    // Later holders have hardly waited.
    for _ in 0..60 {
        window.spared(round_trip, Some(1));
    }
    assert!(longest(&window) <= round_trip * 2, "{window:?}");
}

#[test]
fn a_lock_that_is_free_for_long_has_fewer_waiters_than_was_thought() {
    for round_trip in [10, 300].map(Duration::from_millis) {
        let mut windows = [with_round_trip(round_trip), with_round_trip(round_trip)];
        for window in &mut windows {
            window.found_held(Some(0));
            (0..10).for_each(|_| window.collided());
        }
        for _ in 0..8 {
            windows[0].spared(round_trip * 2, Some(0));
            windows[1].spared(round_trip * 12, Some(0));
        }
        let [busy, empty] = windows.each_ref().map(longest);
        assert!(empty * 2 < busy, "{round_trip:?}: {empty:?} {busy:?}");
    }
}

#[test]
fn one_slow_answer_does_not_spread_all_tries_to_come() {
    let mut window = ContentionWindow::new();
    window.collided();
    for millis in [10, 10, 8_000, 10] {
        window.answered_after(Duration::from_millis(millis));
    }
    assert!(longest(&window) < Duration::from_millis(80), "{window:?}");
}

#[test]
fn a_seed_gives_the_same_numbers_again() {
    let numbers = |seed| {
        let mut random = Random::new(seed);
        [random.number(), random.number(), random.number()]
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
}

/// The numbers are those of `SplitMix64`, whose first number for this seed is known.
#[test]
fn the_numbers_are_well_mixed() {
    assert_eq!(Random::new(0).number(), 0xe220_a839_7b1d_cdaf);
    let fraction = Random::new(0).fraction();
    assert!((fraction - 0.8833).abs() < 0.0001, "{fraction}");
}

#[test]
fn a_round_trip_follows_the_answers() {
    let mut window = ContentionWindow::new();
    let mut after = |millis| {
        window.answered_after(Duration::from_millis(millis));
        (window.round_trip(), window.turn_length())
    };
    let micros = Duration::from_micros;
    assert_eq!(after(160), (micros(160_000), micros(640_000)));
    // A slower answer counts for an eighth, and for no more than twice what was known.
    assert_eq!(after(240), (micros(170_000), micros(680_000)));
    assert_eq!(after(4_000), (micros(191_250), micros(765_000)));
    // A faster answer counts for three quarters.
    assert_eq!(
        after(10),
        (micros(55_312) + Duration::from_nanos(500), micros(221_250))
    );
    let mut quick = ContentionWindow::new();
    assert_eq!(quick.turn_length(), Duration::from_millis(100));
    quick.answered_after(Duration::from_millis(2));
    assert_eq!(quick.turn_length(), Duration::from_millis(100));
}

#[test]
fn a_window_narrows_as_others_are_served() {
    let after = |wide, millis| {
        let mut window = ContentionWindow::new();
        window.answered_after(Duration::from_millis(100));
        window.window = wide;
        window.spared(Duration::from_millis(millis), Some(1));
        window.window / wide
    };
    for (wide, factor) in [
        (100.0, 0.995),
        (16.0, 0.95),
        (5.0, 0.95),
        (4.0, 0.7),
        (2.0, 0.7),
        (1.0, 0.0),
    ] {
        let narrowed = after(wide, 100);
        assert!((narrowed - factor).abs() < 1e-9, "{wide}: {narrowed}");
    }
    // The lock was free for long, so fewer contenders wait than assumed.
    for (wide, millis, factor) in [(100.0, 601, 0.5), (100.0, 600, 0.995), (2.0, 601, 0.7)] {
        let narrowed = after(wide, millis);
        assert!(
            (narrowed - factor).abs() < 1e-9,
            "{wide}, {millis} ms: {narrowed}"
        );
    }
    let mut window = ContentionWindow::new();
    assert_eq!(window.passed(), None);
    window.collided();
    window.collided();
    assert!((window.window - 64.0).abs() < 1e-9, "{}", window.window);
    assert_eq!(window.passed(), Some(2));
}

#[test]
fn a_pause_grows_with_the_crowd_and_shrinks_for_who_is_overdue() {
    let pause = |passed, turn, wide| {
        let mut window = ContentionWindow::new();
        window.answered_after(Duration::from_millis(100));
        (window.passed, window.turn, window.window) = (Some(passed), turn, wide);
        window.pause(&mut Random::new(0)).as_secs_f64()
    };
    let random = Random::new(0).fraction();
    let crowd = |share: f64| 0.1 * ContentionWindow::SPREAD * (20.0 * share).ln_1p();
    // Three waiters were passed more often, and get a slot each.
    let slots = 0.1 * ContentionWindow::SLOT * 3.0;
    assert!((pause(2, 5, 20.0) - slots - crowd(random)).abs() < 1e-6);
    let overdue = 1.0 + (30.0 - USUAL * 5.0) / PATIENT;
    assert!((pause(30, 5, 20.0) - crowd(random / overdue)).abs() < 1e-6);
}

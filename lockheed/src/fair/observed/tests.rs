use coord_lease::Random;

use super::*;
use crate::{Mode, Timestamp};

fn at(seconds: u64) -> BootInstant {
    BootInstant::after_boot(std::time::Duration::from_secs(seconds))
}

fn object(text: &str) -> Object {
    let mut object = Object::new(&"x".parse().unwrap());
    object.annotations.insert(QUEUE.to_owned(), text.to_owned());
    object
}

/// What is read of a text by someone who has read nothing before.
fn read(text: &str) -> Vec<Waiter> {
    Queue::read(&object(text)).into_waiters()
}

fn waiter(id: &str) -> String {
    let mut queue = Queue::default();
    let waiter = Waiter::new(id, Mode::Exclusive, 0, Timestamp::NEVER);
    queue.put(waiter, format!("nonce of {id}"));
    serde_json::to_string(&queue.waiters[0]).unwrap()
}

/// Reads these states one after the other, and each of them alone.
#[track_caller]
fn is_read_alike(texts: &[String]) {
    let mut observed = ObservedQueue::default();
    for (state, text) in texts.iter().enumerate() {
        observed.read(Some(&object(text)), at(1));
        assert_eq!(
            observed.queue.waiters,
            read(text),
            "state {state} of {texts:#?}"
        );
        assert_eq!(observed.since.len(), observed.queue.waiters.len());
    }
}

/// Whatever came before, a state is read as if it were the first.
#[test]
fn a_later_state_is_read_as_if_it_were_the_first() {
    let mut random = Random::new(7);
    for _ in 0..300 {
        let below = |random: &mut Random, limit: usize| {
            usize::try_from(random.number() % u64::try_from(limit).unwrap()).unwrap()
        };
        let mut ids: Vec<String> = Vec::new();
        let mut texts = Vec::new();
        for state in 0..12 {
            for _ in 0..=below(&mut random, 2) {
                let at = below(&mut random, ids.len() + 1);
                match below(&mut random, 4) {
                    0 if at < ids.len() => drop(ids.remove(at)),
                    1 if at < ids.len() => ids[at] = format!("{} {state}", ids[at]),
                    2 => ids.insert(at, "twice".to_owned()),
                    _ => ids.insert(at, format!("{state}")),
                }
            }
            let gap = ["", " "][below(&mut random, 8) / 7];
            let waiters: Vec<_> = ids.iter().map(|id| waiter(id)).collect();
            texts.push(format!("{gap}[{}]{gap}", waiters.join(&format!("{gap},"))));
        }
        is_read_alike(&texts);
    }
}

#[test]
fn only_what_is_new_is_parsed() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(waiter);
    let mut observed = ObservedQueue::default();
    observed.read(Some(&object(&format!("[{a},{b},{c}]"))), at(1));
    for (text, replaced, new) in [
        (format!("[{b},{c}]"), 0..1, ""),
        (format!("[{a},{c}]"), 1..2, ""),
        (format!("[{a},{b}]"), 2..3, ""),
        (format!("[{c}]"), 0..2, ""),
        (format!("[{d},{a},{b},{c}]"), 0..0, "d"),
        (format!("[{a},{d},{b},{c}]"), 1..1, "d"),
        (format!("[{a},{b},{c},{d}]"), 3..3, "d"),
        (format!("[{a},{d},{d},{c}]"), 1..2, "dd"),
        (format!("[{b},{c},{d}]"), 0..3, "bcd"),
    ] {
        let Some(edit) = observed.edit(&text) else {
            assert_eq!(new, "bcd", "{text}");
            continue;
        };
        let ids: String = edit.new.into_iter().map(|(waiter, _)| waiter.id).collect();
        assert_eq!((edit.replaced, ids.as_str()), (replaced, new), "{text}");
    }
}

/// Others may write anything, also what only begins and ends like the queue before it.
#[test]
fn what_is_no_queue_any_more_is_read_as_none() {
    let [a, b, c] = ["a", "b", "c"].map(waiter);
    let whole = format!("[{a},{b},{c}]");
    for broken in [
        String::new(),
        "[".to_owned(),
        "]".to_owned(),
        "null".to_owned(),
        format!("[{a},{b},{c}"),
        format!("{a},{b},{c}]"),
        format!("[{a},,{c}]"),
        format!("[{a},{c},]"),
        format!("[,{a},{c}]"),
        format!("[{a}{c}]"),
        format!("[{a}],[{c}]"),
        format!("[{a},\"{b},{c}]"),
        format!("[{a},{{\"x\":\"{b},{c}]"),
        format!("[{a},{b},{c}]]"),
        format!("[[{a},{b},{c}]"),
        format!("[{a},1,{c}]"),
        format!("[{a},{{}},{c}]"),
        format!("{whole}{whole}"),
    ] {
        assert_eq!(read(&broken), [], "{broken}");
        is_read_alike(&[whole.clone(), broken.clone(), whole.clone()]);
    }
    // An element that only looks like the end of the old text.
    let id = waiter(&format!("x,{b},{c}]"));
    is_read_alike(&[whole.clone(), format!("[{a},{id}]"), whole.clone()]);
    for nobody in ["", GROUP].map(waiter) {
        let skipped = format!("[{a},{nobody},{c}]");
        assert_eq!(read(&skipped).len(), 2);
        is_read_alike(&[skipped.clone(), String::new()]);
        is_read_alike(&[skipped.clone(), format!("[{nobody},{c}]"), format!("[{c}]")]);
        is_read_alike(&[whole.clone(), skipped.clone(), whole.clone()]);
    }
}

/// A place lasts for as long as it says, from when it was first seen. One that was written again
/// begins anew, even if it stands where it was.
#[test]
fn a_place_counts_from_when_it_was_first_seen() {
    let [a, b, c] = ["a", "b", "c"].map(waiter);
    let mut observed = ObservedQueue::default();
    let mut since = |text: String, seconds| {
        observed.read(Some(&object(&text)), at(seconds));
        observed
            .since
            .iter()
            .map(|at| at.since_boot().as_secs())
            .collect::<Vec<_>>()
    };
    assert_eq!(since(format!("[{a},{b},{c}]"), 10), [10, 10, 10]);
    assert_eq!(since(format!("[{b},{c}]"), 11), [10, 10]);
    assert_eq!(since(format!("[{b},{a},{c}]"), 12), [10, 12, 10]);
    let again = b.replace("nonce of", "another nonce of");
    assert_eq!(since(format!("[{again},{a},{c}]"), 13), [13, 12, 10]);
    // Its rank has changed, and its place is the same.
    let raised = a.replace(r#""durationMillis""#, r#""raised":1,"durationMillis""#);
    assert_ne!(raised, a);
    assert_eq!(since(format!("[{again},{c},{raised}]"), 14), [13, 10, 12]);
    assert_eq!(since(format!("[{c} , {again}]"), 15), [10, 13]);
    assert_eq!(since(String::new(), 16), [0_u64; 0]);
    assert_eq!(since(format!("[{c}]"), 17), [17]);
}

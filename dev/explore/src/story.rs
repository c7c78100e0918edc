//! Describes a history, one line per action.

use crate::{
    action::Action,
    automaton::Automaton,
    io::{Input, Output, Refusal},
    lock::Lock,
    world::World,
};

/// The actions on this way, numbered.
pub(crate) fn tell<L: Lock>(
    mut world: World,
    way: &[Action],
    automaton: &mut Automaton<L>,
) -> Vec<String> {
    let mut lines = vec![match world.object {
        None => "There is no lock.".to_owned(),
        Some(_) => "There is a lock that nobody holds.".to_owned(),
    }];
    for (number, action) in (1..).zip(way) {
        automaton.noted = Some(Vec::new());
        let what = describe(*action, &world, automaton);
        let happened = world.happen(*action, automaton);
        let noted = automaton.noted.take().unwrap_or_default();
        let mut did: Vec<_> = noted
            .iter()
            .filter_map(|output| in_words(*output, &world, automaton))
            .collect();
        if let Action::Serve(contender) = *action {
            let request = world.contender(contender).request;
            did.extend(request.and_then(|(_, answer)| Some(answered(answer?, automaton))));
        }
        if let Err(why) = happened {
            did.push(format!("BROKEN: {why}"));
        }
        let now = world.now;
        let did = if did.is_empty() {
            String::new()
        } else {
            format!(": {}", did.join(", "))
        };
        lines.push(format!("{number:3}. {now:2} s  {what}{did}"));
    }
    lines
}

fn describe<L: Lock>(action: Action, world: &World, automaton: &Automaton<L>) -> String {
    let id = |number: u8| world.id(number).to_string();
    let request = |number: u8| {
        let request = world.contender(number).request;
        let request = request.and_then(|(request, _)| in_words(request, world, automaton));
        request.unwrap_or_default()
    };
    match action {
        Action::Begin(number) => {
            let letter = char::from(b'a' + number);
            format!("{letter}{} begins", world.contender(number).life + 1)
        }
        Action::Serve(number) => format!("{} {}, which arrives", id(number), request(number)),
        Action::Answer(number) => format!("{} gets its answer", id(number)),
        Action::GiveUp(number) => format!("{} gets no answer in time", id(number)),
        Action::Refuse(number) => format!("{} is refused for now", id(number)),
        Action::ServeLate(at) => {
            let late = world.late.get(usize::from(at));
            late.map_or_else(String::new, |(id, write)| {
                let write = in_words(*write, world, automaton).unwrap_or_default();
                format!("{id} {write}, which arrives late")
            })
        }
        Action::Tell(number) => format!("the watch tells {} of a change", id(number)),
        Action::EndWatch(number) => format!("the watch of {} ends", id(number)),
        Action::TellSubject(number) => {
            format!("the watch tells {} that the Pod is gone", id(number))
        }
        Action::EndSubjectWatch(number) => format!("the watch of the Pod ends for {}", id(number)),
        Action::Wake(number) => format!("{} wakes", id(number)),
        Action::Tick => "time goes on".to_owned(),
        Action::Crash(number) => format!("{} dies", id(number)),
        Action::Replace(number) => format!("{} dies with its Pod", id(number)),
        Action::Cancel(number) => format!("{} is cancelled", id(number)),
        Action::Release(number) => format!("{} is to release the lock", id(number)),
        Action::Reserve => "a Go program announces a write, and dies".to_owned(),
        Action::Tidy => "somebody removes what nobody needs".to_owned(),
    }
}

fn in_words<L: Lock>(output: Output, world: &World, automaton: &Automaton<L>) -> Option<String> {
    let base = |object: u32| automaton.kept(object).version;
    let until = |until: Option<u32>| match until {
        Some(until) => format!("until {}.{:03} s", until / 1000, until % 1000),
        None => "without an end".to_owned(),
    };
    Some(match output {
        Output::Read => "reads the lock".to_owned(),
        Output::Create(object) if automaton.kept(object).holders(world.now) == 0 => {
            "creates it, held by nobody".to_owned()
        }
        Output::Create(_) => "creates it as its own".to_owned(),
        Output::Update(object) => format!("writes over version {}", base(object)),
        Output::Delete(object) => format!("deletes version {}", base(object)),
        Output::Watch(_) => "watches".to_owned(),
        Output::ReadSubject(_) => "reads a Pod".to_owned(),
        Output::WatchSubject(_) => "watches the Pod".to_owned(),
        Output::UnwatchSubject => "watches the Pod no more".to_owned(),
        Output::Abandon => "does not wait for its answer any more".to_owned(),
        Output::Acquired(Some(token), end) => {
            format!("HOLDS the lock {}, token {token}", until(end))
        }
        Output::Acquired(None, end) => format!("HOLDS the lock {}", until(end)),
        Output::Renewed(end) => format!("holds the lock {}", until(end)),
        Output::Lost => "has lost it".to_owned(),
        Output::Released => "says that it is released".to_owned(),
        Output::NotReleased => "says that something may be left".to_owned(),
        Output::Cancelled => "says that it is cancelled".to_owned(),
        Output::Failed => "says that it has failed".to_owned(),
        Output::Said => return None,
    })
}

fn answered<L: Lock>(answer: Input, automaton: &Automaton<L>) -> String {
    let version = |object: u32| automaton.kept(object).version;
    match answer {
        Input::Read(None, _) => "there is none".to_owned(),
        Input::Read(Some(there), _) => format!("there is version {}", version(there)),
        Input::Written(None, _) => "done".to_owned(),
        Input::Written(Some(there), _) => format!("done, as version {}", version(there)),
        Input::NotWritten(Refusal::Taken) => "refused, it is another".to_owned(),
        Input::NotWritten(Refusal::Gone) => "refused, it is gone".to_owned(),
        Input::SubjectRead(_, true, _) => "it is there".to_owned(),
        Input::SubjectRead(_, false, _) => "it is gone".to_owned(),
        _ => "it failed".to_owned(),
    }
}

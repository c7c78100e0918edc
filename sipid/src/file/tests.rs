use super::*;

fn pid(text: &str) -> Pid {
    text.parse().unwrap()
}

#[test]
fn a_first_line_counts_as_far_as_it_was_read() {
    let blanks = |count| " ".repeat(count);
    let cases = [
        ("7\n".to_owned(), Content::Pid(pid("7"))),
        ("7\nx".to_owned(), Content::PidAndMore(pid("7"))),
        // As far as it was read, only blanks follow the line.
        (format!("7\n{}\0", blanks(62)), Content::Pid(pid("7"))),
        (format!("7\n{}", blanks(63)), Content::PidAndMore(pid("7"))),
        (blanks(62) + "77", Content::Pid(pid("77"))),
        // A buffer that was written whole.
        ("7".to_owned() + &"\0".repeat(127), Content::Pid(pid("7"))),
        // Zeros that a power loss has left, and blanks that a claim wrote behind them just before
        // it was killed.
        ("7\0   ".to_owned(), Content::Pid(pid("7"))),
        ("\0\0 ".to_owned(), Content::Empty),
    ];
    for (text, content) in cases {
        let read = &text.as_bytes()[..text.len().min(LONGEST + 1)];
        assert_eq!(parse(read), content, "{text:?}");
    }
    // More digits may follow.
    assert!(matches!(
        parse((blanks(63) + "77").as_bytes()),
        Content::Invalid(_)
    ));
}

#[test]
fn a_long_content_is_quoted_in_part() {
    let quoted = |count| quoted(&[b'x'; LONGEST + 1][..count]);
    assert!(quoted(LONGEST).ends_with("x\""));
    assert!(quoted(LONGEST + 1).ends_with("x\"..."));
}

#[test]
fn a_longer_pid_takes_the_place_of_a_shorter_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pid");
    for old in ["", "77", "7777777", "77777777777\n7"] {
        fs::write(&path, old).unwrap();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        write(&file, pid("4711234"), &file.metadata().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711234");
    }
}

#[test]
fn a_path_of_which_nothing_is_known_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pid");
    let file = File::create(&path).unwrap();
    assert!(is_at(&file, &path).unwrap());
    assert!(!is_at(&file, dir.path()).unwrap());
    assert!(!is_at(&file, &dir.path().join("other")).unwrap());
    is_at(&file, &path.join("below")).unwrap_err();
    assert!(!same_version(
        &file.metadata().unwrap(),
        &fs::metadata(dir.path()).unwrap()
    ));
}

#[test]
fn what_may_not_be_removed_is_told_from_what_fails() {
    let is_not_ours = |number| is_not_ours_to_remove(&io::Error::from_raw_os_error(number));
    assert!(is_not_ours(libc::EROFS));
    assert!(!is_not_ours(libc::EIO));
}

/// The kernel's clock for files may stand still between two writes.
#[test]
fn two_reads_agree_on_the_content_and_on_when_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pid");
    let written = |text: &str, seconds| {
        fs::write(&path, text).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
        read(&file).unwrap()
    };
    let first = written("7", 100);
    assert!(agree(&first, &written("7", 100)));
    assert!(!agree(&first, &written("8", 100)));
    assert!(!agree(&first, &written("7", 101)));
}

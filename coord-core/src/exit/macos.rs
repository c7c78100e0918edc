//! Exit statuses are the error numbers of Linux everywhere. macOS counts others from 35 on.

use nix::libc;

/// What Linux calls an error of this system; the same number where it has no other.
pub(super) const fn on_linux(raw: i32) -> i32 {
    match raw {
        libc::EAGAIN => 11,
        libc::EDEADLK => 35,
        libc::ENAMETOOLONG => 36,
        libc::ENOLCK => 37,
        libc::ENOSYS => 38,
        libc::ENOTEMPTY => 39,
        libc::ELOOP => 40,
        libc::EPROTO => 71,
        libc::EBADMSG => 74,
        libc::EOVERFLOW => 75,
        libc::EILSEQ => 84,
        libc::ENOTSOCK => 88,
        libc::EMSGSIZE => 90,
        libc::EPROTONOSUPPORT => 93,
        libc::ENOTSUP | libc::EOPNOTSUPP => 95,
        libc::EAFNOSUPPORT => 97,
        libc::EADDRINUSE => 98,
        libc::EADDRNOTAVAIL => 99,
        libc::ENETDOWN => 100,
        libc::ENETUNREACH => 101,
        libc::ECONNABORTED => 103,
        libc::ECONNRESET => 104,
        libc::ENOBUFS => 105,
        libc::EISCONN => 106,
        libc::ENOTCONN => 107,
        libc::ETIMEDOUT => 110,
        libc::ECONNREFUSED => 111,
        libc::EHOSTDOWN => 112,
        libc::EHOSTUNREACH => 113,
        libc::EALREADY => 114,
        libc::EINPROGRESS => 115,
        libc::ESTALE => 116,
        libc::EDQUOT => 122,
        libc::ECANCELED => 125,
        _ => raw,
    }
}

//! Exit statuses are Linux error numbers on every system. macOS has other numbers from 35 on.

use nix::libc;

/// The Linux number for an error of this system.
///
/// Up to 34 the numbers are the same, except for `EDEADLK`. Any other number becomes `EIO` (5):
/// Linux does not have the error, or its number is too large for an exit status.
pub(super) const fn on_linux(raw: i32) -> i32 {
    match raw {
        libc::EDEADLK => 35,
        ..=34 => raw,
        libc::EAGAIN => 11,
        libc::ENAMETOOLONG => 36,
        libc::ENOLCK => 37,
        libc::ENOSYS => 38,
        libc::ENOTEMPTY => 39,
        libc::ELOOP => 40,
        libc::ENOMSG => 42,
        libc::EIDRM => 43,
        libc::ENOSTR => 60,
        // Linux reports a missing attribute as ENODATA.
        libc::ENODATA | libc::ENOATTR => 61,
        libc::ETIME => 62,
        libc::ENOSR => 63,
        libc::EREMOTE => 66,
        libc::ENOLINK => 67,
        libc::EPROTO => 71,
        libc::EMULTIHOP => 72,
        libc::EBADMSG => 74,
        libc::EOVERFLOW => 75,
        libc::EILSEQ => 84,
        libc::EUSERS => 87,
        libc::ENOTSOCK => 88,
        libc::EDESTADDRREQ => 89,
        libc::EMSGSIZE => 90,
        libc::EPROTOTYPE => 91,
        libc::ENOPROTOOPT => 92,
        libc::EPROTONOSUPPORT => 93,
        libc::ESOCKTNOSUPPORT => 94,
        libc::ENOTSUP | libc::EOPNOTSUPP => 95,
        libc::EPFNOSUPPORT => 96,
        libc::EAFNOSUPPORT => 97,
        libc::EADDRINUSE => 98,
        libc::EADDRNOTAVAIL => 99,
        libc::ENETDOWN => 100,
        libc::ENETUNREACH => 101,
        libc::ENETRESET => 102,
        libc::ECONNABORTED => 103,
        libc::ECONNRESET => 104,
        libc::ENOBUFS => 105,
        libc::EISCONN => 106,
        libc::ENOTCONN => 107,
        libc::ESHUTDOWN => 108,
        libc::ETOOMANYREFS => 109,
        libc::ETIMEDOUT => 110,
        libc::ECONNREFUSED => 111,
        libc::EHOSTDOWN => 112,
        libc::EHOSTUNREACH => 113,
        libc::EALREADY => 114,
        libc::EINPROGRESS => 115,
        libc::ESTALE => 116,
        libc::EDQUOT => 122,
        libc::ECANCELED => 125,
        _ => 5,
    }
}

//! Where a redirect leads.

use ureq::http::{HeaderMap, StatusCode, Uri, header::LOCATION};

/// The URL an answer redirects to: `Location`, relative to the URL that was asked, RFC 9110 section 10.2.2.
pub(super) fn target(asked: &Uri, status: StatusCode, headers: &HeaderMap) -> Option<Uri> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = headers.get(LOCATION)?.to_str().ok()?;
    resolve(asked, location).filter(|url| matches!(url.scheme_str(), Some("http" | "https")))
}

/// Whether headers that were given for `first` may be sent to `next`: to the same host, and not from https to http.
pub(super) fn keeps_headers(first: &Uri, next: &Uri) -> bool {
    let host = |url: &Uri| url.host().map(str::to_ascii_lowercase);
    host(first) == host(next)
        && (next.scheme_str() == Some("https") || first.scheme() == next.scheme())
}

/// RFC 3986 section 5.2, without the fragment, which is not sent.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if has_scheme(reference) {
        return reference.parse().ok();
    }
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}").parse().ok();
    }
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let directory = base
                .path()
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory);
            without_dots(&format!("{directory}/{path}"))
        }
    };
    let own_query = base.query().filter(|_| reference.is_empty());
    let query = own_query.map_or_else(|| query.to_owned(), |query| format!("?{query}"));
    format!("{scheme}://{authority}{path}{query}").parse().ok()
}

fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split(['/', '?']).next().unwrap_or_default();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.contains(':')
}

/// A path that begins with `/`, without the segments `.` and `..`, RFC 3986 section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_the_rfc_says() {
        let base = "http://host:81/a/b?q".parse().unwrap();
        let cases = [
            ("https://other/x", "https://other/x"),
            ("//other/x", "http://other/x"),
            ("/x", "http://host:81/x"),
            ("x", "http://host:81/a/x"),
            ("x:1", ""),
            ("./x:1", "http://host:81/a/x:1"),
            ("/x?u=http://y", "http://host:81/x?u=http://y"),
            ("../x/./y", "http://host:81/x/y"),
            ("../../../x/..", "http://host:81/"),
            ("?r", "http://host:81/a/b?r"),
            ("", "http://host:81/a/b?q"),
            ("#top", "http://host:81/a/b?q"),
            ("/x#top", "http://host:81/x"),
            ("ftp://other/", ""),
            ("http://", ""),
        ];
        for (location, expected) in cases {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let found = target(&base, StatusCode::FOUND, &headers);
            let found = found.map_or_else(String::new, |url| url.to_string());
            assert_eq!(found, expected, "{location:?}");
        }
    }

    #[test]
    fn only_redirects_lead_on() {
        let base = "http://host/".parse().unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, "/x".parse().unwrap())]);
        for (status, leads) in [
            (201, false),
            (300, false),
            (301, true),
            (304, false),
            (308, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(target(&base, status, &headers).is_some(), leads, "{status}");
        }
        assert!(target(&base, StatusCode::FOUND, &HeaderMap::new()).is_none());
    }

    #[test]
    fn headers_stay_with_their_host() {
        let keeps = |first: &str, next: &str| {
            keeps_headers(&first.parse().unwrap(), &next.parse().unwrap())
        };
        assert!(keeps("http://a/", "http://A:81/x"));
        assert!(keeps("http://a/", "https://a/"));
        assert!(!keeps("https://a/", "http://a/"));
        assert!(!keeps("https://a/", "https://b/"));
    }
}

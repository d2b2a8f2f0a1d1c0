//! Requests as [`server`](super::server) takes them: small, whole, and from a page of this machine.

use std::io::{ErrorKind, Read};

use serde_json::Value;

/// The most bytes before a body, and of one.
const MOST_HEAD: usize = 1 << 14;
const MOST_BODY: usize = 1 << 20;
/// The most headers.
const MOST_HEADERS: usize = 64;

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status of HTTP.
    pub(super) status: u16,
    /// In words.
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: impl Into<String>) -> Refusal {
        Refusal { status, reason: reason.into() }
    }
}

/// A request that has been read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in small letters, and values.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one.
    pub(super) fn read(stream: &mut impl Read) -> Result<Request, Refusal> {
        let bad = |reason: &str| Refusal::new(400, reason);
        let mut bytes = Vec::new();
        let (mut request, head) = loop {
            if let Some(found) = Request::parse(&bytes)? {
                break found;
            }
            if bytes.len() >= MOST_HEAD {
                return Err(Refusal::new(413, format!("found more than {MOST_HEAD} bytes before the body")));
            }
            more(stream, &mut bytes)?;
        };
        let times = |name: &str| request.headers.iter().filter(|(other, _)| other == name).count();
        let length = match (times("content-length"), times("transfer-encoding")) {
            (0, 0) => 0,
            (1, 0) => {
                let length = request.header("content-length").and_then(|length| length.parse().ok());
                length.ok_or_else(|| bad("Content-Length is no number"))?
            }
            (_, 0) => return Err(bad("found Content-Length twice")),
            _ => return Err(bad("found a Transfer-Encoding; expected a Content-Length")),
        };
        if length > MOST_BODY {
            return Err(Refusal::new(413, format!("found a body of {length} bytes; expected at most {MOST_BODY}")));
        }
        while bytes.len() < head + length {
            more(stream, &mut bytes)?;
        }
        request.body = bytes[head..head + length].to_vec();
        Ok(request)
    }

    /// The request without its body, and where that begins; `None` as long as something is missing.
    fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let bad = |error: &dyn std::fmt::Display| Refusal::new(400, format!("no request of HTTP/1.1: {error}"));
        let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(|error| bad(&error))? else {
            return Ok(None);
        };
        let header = |header: &httparse::Header| {
            let value = std::str::from_utf8(header.value).map_err(|error| bad(&error))?;
            Ok((header.name.to_ascii_lowercase(), value.to_string()))
        };
        let headers = parsed.headers.iter().map(header).collect::<Result<_, _>>()?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_string();
        Ok(Some((Request { method: text(parsed.method), path: text(parsed.path), headers, body: Vec::new() }, head)))
    }

    /// The value of a header that stands there once.
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        found.next().filter(|_| found.next().is_none()).map(|(_, value)| value.as_str())
    }

    /// Whether it was sent to us by our name, and, if a page has sent it, by one of ours.
    pub(super) fn check(&self, port: u16) -> Result<(), Refusal> {
        let ours = |name: Option<&str>| {
            name.is_some_and(|name| ["127.0.0.1", "localhost"].iter().any(|host| is_address(name, host, port)))
        };
        if !ours(self.header("host")) {
            return Err(Refusal::new(403, format!("the host is another; expected 127.0.0.1:{port}")));
        }
        let from_elsewhere = self.headers.iter().any(|(name, _)| name == "origin")
            && !ours(self.header("origin").and_then(|origin| origin.strip_prefix("http://")));
        if from_elsewhere {
            return Err(Refusal::new(403, "the origin is another page"));
        }
        Ok(())
    }

    /// The body, which is JSON.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        let kind = self.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::new(415, "expected a body of the type application/json"));
        }
        serde_json::from_slice(&self.body).map_err(|error| Refusal::new(400, format!("the body is no JSON: {error}")))
    }
}

/// Whether this is `host:port`; browsers leave out port 80.
fn is_address(name: &str, host: &str, port: u16) -> bool {
    let rest = name.get(..host.len()).filter(|start| start.eq_ignore_ascii_case(host)).map(|_| &name[host.len()..]);
    rest.is_some_and(|rest| rest.strip_prefix(':').map_or(rest.is_empty() && port == 80, |p| p == port.to_string()))
}

/// Reads what has come.
fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut part = [0; 4096];
    match stream.read(&mut part) {
        Ok(0) => Err(Refusal::new(400, "the request ended early")),
        Ok(n) => {
            bytes.extend_from_slice(&part[..n]);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(Refusal::new(408, "the request took too long"))
        }
        Err(error) => Err(Refusal::new(400, format!("the request cannot be read: {error}"))),
    }
}

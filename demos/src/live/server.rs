//! A small server of HTTP/1.1 on loopback, for pages that show work as it goes on. It knows nothing of what a [`Site`]
//! shows.
//!
//! Only this machine reaches it, and of what runs here, no page of another site: a request whose `Host` is another name
//! (to which a name server may have given our address) is refused, and so is one whose `Origin` is another. What
//! changes something is a POST with JSON, which no form of another page can send.
//!
//! Threads of the system's own do the work, one to a connection: there are few, and none of them computes. The syntax
//! is read by `httparse`; `tiny_http` would do more of it, but has had no release since 2022.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::request::{Refusal, Request};

/// How long a client may take to send a request, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a page may take, after the last event, to fetch what it wants to keep: if somebody has asked for the end,
/// and else.
const LINGER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// The most connections at a time; a browser has six, and one for its events.
const MOST_CONNECTIONS: usize = 64;
/// The most of them on which events are told.
const MOST_STREAMS: usize = 32;

/// What a server shows.
pub trait Site: Send + Sync + 'static {
    /// The page itself, HTML that asks for nothing outside of this site.
    fn page(&self) -> String;
    /// What lies at another path, `/…`; `None` if nothing does.
    fn get(&self, path: &str) -> Option<Answer>;
    /// Does what a command at this path asks for. `None` if there is no such command, and a reason in words if it
    /// cannot be done.
    fn post(&self, path: &str, body: &Value) -> Option<Result<Answer, String>>;
    /// What happens from now on, for one page: each item may take its time, a second or so; `None` says that nothing is
    /// new. It ends when nothing more will happen.
    fn events(self: Arc<Self>) -> Box<dyn Iterator<Item = Option<Event>> + Send>;
}

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its media type.
    pub kind: &'static str,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// JSON.
    pub fn json(value: &Value) -> Answer {
        Answer { kind: "application/json", body: value.to_string().into_bytes() }
    }

    /// A picture.
    pub fn png(body: Vec<u8>) -> Answer {
        Answer { kind: "image/png", body }
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// By which the page's script listens to it.
    pub name: &'static str,
    /// What it says.
    pub data: Value,
}

/// A port of loopback that is ours, on which nobody answers yet.
pub struct Listener {
    listener: TcpListener,
    port: u16,
}

impl Listener {
    /// Takes a port; any that is free if none is named.
    ///
    /// # Errors
    /// Another program has the port, or the system refuses.
    pub fn bind(port: Option<u16>) -> Result<Listener> {
        let wanted = port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                anyhow!("port {wanted} is taken by another program; expected a free one, or none for any that is free")
            }
            _ => anyhow!("cannot listen on port {wanted} of 127.0.0.1: {error}"),
        })?;
        let port = listener.local_addr().context("cannot tell the port")?.port();
        Ok(Listener { listener, port })
    }

    /// Answers requests from now on, on threads of its own.
    pub fn serve(self, site: Arc<dyn Site>) -> Server {
        let Listener { listener, port } = self;
        let shared = Arc::new(Shared { site, port, connections: AtomicUsize::new(0), streams: AtomicUsize::new(0) });
        let server = Server { shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.connection(stream));
            }
        });
        server
    }
}

/// A server at work. It ends with the program.
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.shared.port)
    }

    /// Waits, once the site's events have ended, until the pages that watch have fetched what they want to keep: at
    /// most two seconds, or half of one if there is `haste`.
    pub fn linger(&self, haste: bool) {
        let (start, most) = (Instant::now(), LINGER[usize::from(!haste)]);
        while self.shared.streams.load(Ordering::SeqCst) > 0 && start.elapsed() < most {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Reads from a client until it has had its time, however slowly it sends.
struct Patient<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Patient<'a> {
    fn new(stream: &'a TcpStream) -> Patient<'a> {
        Patient { stream, until: Instant::now() + PATIENCE }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        stream.read(bytes)
    }
}

struct Shared {
    site: Arc<dyn Site>,
    port: u16,
    /// Connections that are open.
    connections: AtomicUsize,
    /// Those among them on which events are told.
    streams: AtomicUsize,
}

/// Counts as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Counted<'a> {
        counter.fetch_add(1, Ordering::SeqCst);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// One request and its answer. A client that goes away is no failure.
    fn connection(&self, mut stream: TcpStream) {
        let _counted = Counted::new(&self.connections);
        let times = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        if times.is_err() {
            return;
        }
        let answer = match self.connections.load(Ordering::SeqCst) > MOST_CONNECTIONS {
            true => Err(Refusal::new(503, "too many connections")),
            false => {
                Request::read(&mut Patient::new(&stream)).and_then(|request| request.check(self.port).map(|()| request))
            }
        };
        let _ = match answer.and_then(|request| self.answer(&request)) {
            Ok(Some(answer)) => send(&mut stream, 200, answer.kind, &answer.body),
            Ok(None) => self.tell_events(&mut stream),
            Err(Refusal { status, reason }) => {
                send(&mut stream, status, "text/plain; charset=utf-8", reason.as_bytes())
            }
        };
    }

    /// The answer to a request; `None` for the stream of events.
    fn answer(&self, request: &Request) -> Result<Option<Answer>, Refusal> {
        let path = request.path.as_str();
        let nothing = || Refusal::new(404, format!("nothing lies at {path}"));
        match (request.method.as_str(), path) {
            ("GET", "/") => Ok(Some(Answer { kind: "text/html; charset=utf-8", body: self.site.page().into_bytes() })),
            ("GET", "/events") if self.streams.load(Ordering::SeqCst) < MOST_STREAMS => Ok(None),
            ("GET", "/events") => Err(Refusal::new(503, "too many pages watch")),
            ("GET", _) => self.site.get(path).map(Some).ok_or_else(nothing),
            ("POST", _) => {
                let body = request.json()?;
                let done = self.site.post(path, &body).ok_or_else(nothing)?;
                done.map(Some).map_err(|reason| Refusal::new(409, reason))
            }
            (method, _) => Err(Refusal::new(405, format!("found the method {method}; expected GET or POST"))),
        }
    }

    /// Server-sent events (HTML Living Standard, section 9.2), until nothing more will happen or the page is gone.
    fn tell_events(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let _counted = Counted::new(&self.streams);
        stream.write_all(head(200, "text/event-stream", None).as_bytes())?;
        for event in self.site.clone().events() {
            match event {
                Some(Event { name, data }) => {
                    stream.write_all(format!("event: {name}\ndata: {data}\n\n").as_bytes())?
                }
                None => stream.write_all(b":\n\n")?, // A comment, by which it is noticed that nobody is there.
            }
        }
        // The page closes the connection when it has all that it wants.
        stream.set_read_timeout(Some(LINGER[1]))?;
        stream.read(&mut [0]).map(drop)
    }
}

/// What stands before an answer. The policy holds the page to this site: it fetches nothing else, and stands in no
/// frame of another page.
fn head(status: u16, kind: &str, length: Option<usize>) -> String {
    let words = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        _ => "Service Unavailable",
    };
    let length = length.map_or(String::new(), |length| format!("Content-Length: {length}\r\n"));
    format!(
        "HTTP/1.1 {status} {words}\r\nContent-Type: {kind}\r\n{length}Cache-Control: no-store\r\nConnection: close\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; img-src 'self' data: blob:; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\
         \r\n\r\n"
    )
}

fn send(stream: &mut TcpStream, status: u16, kind: &str, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(head(status, kind, Some(body.len())).as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

#[cfg(test)]
mod tests;

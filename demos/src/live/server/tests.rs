use super::*;

/// A site with one path, one command, and three events.
struct Three;

impl Site for Three {
    fn page(&self) -> String {
        "<p>three</p>".into()
    }

    fn get(&self, path: &str) -> Option<Answer> {
        (path == "/data/1").then(|| Answer::json(&serde_json::json!([1])))
    }

    fn post(&self, path: &str, body: &Value) -> Option<Result<Answer, String>> {
        (path == "/do/add").then(|| match body["n"].as_u64() {
            Some(n) => Ok(Answer::json(&(n + 1).into())),
            None => Err("found no n".into()),
        })
    }

    fn events(self: Arc<Self>) -> Box<dyn Iterator<Item = Option<Event>> + Send> {
        let event = |i: u64| (i != 2).then(|| Event { name: "number", data: i.into() });
        Box::new((1..=3).map(event))
    }
}

fn server() -> Server {
    Listener::bind(None).unwrap().serve(Arc::new(Three))
}

/// What comes back for a request in bytes, `PORT` in it being the server's.
fn ask(server: &Server, request: &str) -> String {
    let port = server.shared.port;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(request.replace("PORT", &port.to_string()).replace('\n', "\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn expect(server: &Server, request: &str, status: u16, part: &str) {
    let answer = ask(server, request);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part), "{request}\n{answer}");
}

#[test]
fn paths_are_answered() {
    let server = server();
    expect(&server, "GET / HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 200, "\r\n\r\n<p>three</p>");
    expect(&server, "GET / HTTP/1.1\nHost: LocalHost:PORT\n\n", 200, "Content-Security-Policy: default-src 'none'");
    expect(&server, "GET /data/1 HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 200, "\r\n\r\n[1]");
    expect(&server, "GET /data/2 HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 404, "nothing lies at /data/2");
    expect(&server, "GET /do/add HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 404, "nothing lies");
    expect(&server, "PUT / HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 405, "expected GET or POST");
}

/// Names that lead here from elsewhere, and pages of others.
#[test]
fn requests_from_elsewhere_are_refused() {
    let server = server();
    for host in ["evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:PORT", "127.0.0.1:PORT0", ""]
    {
        expect(&server, &format!("GET / HTTP/1.1\nHost: {host}\n\n"), 403, "the host is another");
    }
    expect(&server, "GET / HTTP/1.1\n\n", 403, "the host is another");
    expect(&server, "GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nHost: evil.example\n\n", 403, "the host is another");
    let add = "POST /do/add HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Type: application/json\nContent-Length: 7\n";
    for origin in ["http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:PORT", "null", ""] {
        expect(&server, &format!("{add}Origin: {origin}\n\n{{\"n\":1}}"), 403, "the origin is another");
        expect(&server, &format!("GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin: {origin}\n\n"), 403, "the origin");
    }
    for origin in ["http://127.0.0.1:PORT", "http://localhost:PORT"] {
        expect(&server, &format!("{add}Origin: {origin}\n\n{{\"n\":1}}"), 200, "\r\n\r\n2");
    }
}

#[test]
fn commands_are_json_sent_by_post() {
    let server = server();
    let post = |path: &str, kind: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Type: {kind}\nContent-Length: {length}\n\n{body}")
    };
    let json = "application/json";
    expect(&server, &post("/do/add", json, "{\"n\":41}"), 200, "\r\n\r\n42");
    expect(&server, &post("/do/add", json, "{}"), 409, "found no n");
    expect(&server, &post("/do/else", json, "{}"), 404, "nothing lies at /do/else");
    expect(&server, &post("/do/add", json, "{"), 400, "the body is no JSON");
    // As a form of another page would send it.
    expect(&server, &post("/do/add", "text/plain", "{\"n\":1}"), 415, "application/json");
    expect(&server, &post("/do/add", "application/x-www-form-urlencoded", "n=1"), 415, "application/json");
}

#[test]
fn what_is_no_request_is_refused() {
    let server = server();
    expect(&server, "nonsense\n\n", 400, "no request");
    let length = "POST /do/add HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Length: ";
    expect(&server, &format!("{length}99999999\n\n"), 413, "expected at most");
    expect(&server, &format!("{length}x\n\n"), 400, "Content-Length is no number");
    let chunked = "POST /do/add HTTP/1.1\nHost: 127.0.0.1:PORT\nTransfer-Encoding: chunked\n\n0\n\n";
    expect(&server, chunked, 400, "expected a Content-Length");
    // As much as is read, and no more: what is left unread would cut the answer off.
    let long = format!("GET /{} HTTP/1.1", "a".repeat(MOST_HEAD_READ - "GET / HTTP/1.1".len()));
    expect(&server, &long, 413, "before the body");
}

/// What is read before a request is refused for its length.
const MOST_HEAD_READ: usize = 1 << 14;

#[test]
fn events_are_told_until_they_end() {
    let server = server();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.shared.port)).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", server.shared.port).unwrap();
    let (mut told, mut part) = (String::new(), [0; 512]);
    while !told.ends_with("data: 3\n\n") {
        let n = stream.read(&mut part).unwrap();
        assert!(n > 0, "{told}");
        told += std::str::from_utf8(&part[..n]).unwrap();
    }
    assert!(told.contains("Content-Type: text/event-stream\r\n"), "{told}");
    assert!(told.ends_with("\r\n\r\nevent: number\ndata: 1\n\n:\n\nevent: number\ndata: 3\n\n"), "{told}");
    // The page has not closed the connection yet: the program waits for it, and no longer.
    assert_eq!(server.shared.streams.load(Ordering::SeqCst), 1);
    drop(stream);
    let start = Instant::now();
    server.linger(false);
    assert!(start.elapsed() < LINGER[0], "{:?}", start.elapsed());
}

/// Slowly is no way to hold a connection for ever; nor are pages that only watch.
#[test]
fn a_client_has_its_time_and_no_more() {
    let server = server();
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, server.shared.port)).unwrap();
    let (mut slow, start) = (connect(), Instant::now());
    let mut reading = slow.try_clone().unwrap();
    let answer = thread::spawn(move || {
        let mut told = String::new();
        let _ = reading.read_to_string(&mut told);
        told
    });
    // It may be gone before the last of them.
    while !answer.is_finished() && slow.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(300));
        assert!(start.elapsed() < 2 * PATIENCE);
    }
    assert!(start.elapsed() >= PATIENCE - Duration::from_millis(500), "{:?}", start.elapsed());
    let told = answer.join().unwrap();
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    let watch = || {
        let mut stream = connect();
        write!(stream, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", server.shared.port).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (String::from_utf8_lossy(&head).into_owned(), stream)
    };
    let watching: Vec<_> = (0..=MOST_STREAMS).map(|_| watch()).collect();
    assert!(watching[..MOST_STREAMS].iter().all(|(head, _)| head == "HTTP/1.1 200"));
    assert_eq!(watching[MOST_STREAMS].0, "HTTP/1.1 503");
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let server = server();
    let port = server.shared.port;
    let error = Listener::bind(Some(port)).err().unwrap().to_string();
    assert!(error.starts_with(&format!("port {port} is taken by another program")), "{error}");
}

use super::*;
use flate2::{Compression, write::GzEncoder};
use md5::{Digest, Md5};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tempfile::{TempDir, tempdir};

/// What the host does with one connection.
#[derive(Clone, Copy, Debug)]
enum Host {
    /// Sends what is asked for, from the middle too.
    Good,
    /// Sends the whole, whatever is asked for.
    IgnoresRange,
    /// As a good one, but hangs up after so many bytes.
    CutsAfter(usize),
    /// Sends the whole with one byte changed.
    Damages,
    /// Sends, and announces, all but so many bytes.
    Shortens(usize),
    /// Never ends.
    Endless,
    /// Has no such file.
    Missing,
    /// Sends one elsewhere.
    Redirects(&'static str),
}

/// A host on this machine: the base of its URLs, and the ranges that it was asked for ("" for the whole).
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers as many connections as there are `hosts`, then refuses any.
    fn new(body: &[u8], hosts: &[Host]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (body, hosts, log) = (body.to_vec(), hosts.to_vec(), asked.clone());
        std::thread::spawn(move || {
            for host in hosts {
                let (stream, _) = listener.accept().unwrap();
                // A client that hangs up is none of the host's concern.
                let _ = answer(stream, host, &body, &log);
            }
        });
        Server { base, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, host: Host, body: &[u8], log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = value.to_string();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(range.clone());
    let from: usize = range.trim_end_matches('-').parse().unwrap_or(0);
    let head = |status: &str, length: usize, more: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
    };
    let ok = |length: usize| head("200 OK", length, "");
    let ranged = if from > 0 {
        let place = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
        head("206 Partial Content", body.len() - from, &place)
    } else {
        ok(body.len())
    };
    let mut send = |head: String, body: &[u8]| {
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)
    };
    match host {
        Host::Good => send(ranged, &body[from..]),
        Host::IgnoresRange => send(ok(body.len()), body),
        Host::CutsAfter(n) => send(ranged, &body[from..from + n]),
        Host::Damages => {
            let mut damaged = body.to_vec();
            damaged[body.len() / 2] ^= 1;
            send(ok(body.len()), &damaged)
        }
        Host::Shortens(n) => send(ok(body.len() - n), &body[..body.len() - n]),
        Host::Endless => {
            send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".into(), body)?;
            loop {
                send(String::new(), body)?;
            }
        }
        Host::Missing => send(head("404 Not Found", 0, ""), &[]),
        Host::Redirects(to) => send(head("302 Found", 0, &format!("Location: {to}\r\n")), &[]),
    }
}

/// curl, which must not take the way to this machine over a proxy.
fn curl() -> Command {
    let mut command = Command::new("curl");
    ["http_proxy", "all_proxy", "ALL_PROXY"].iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

fn body() -> Vec<u8> {
    (0..300_000u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A source of one file with this content. What it leaks ends with the test.
fn one_file(name: &'static str, body: &[u8], archive: Option<Archive>) -> Source {
    let md5: String = Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let remote = Remote { name, size: body.len() as u64, md5: md5.leak() };
    Source { base: "http://127.0.0.1:9/nowhere", files: vec![remote].leak(), archive }
}

/// A directory into which the body is fetched as `file.bin` from hosts like these.
struct Case {
    dir: TempDir,
    server: Server,
}

impl Case {
    fn new(hosts: &[Host]) -> Case {
        Case { dir: tempdir().unwrap(), server: Server::new(&body(), hosts) }
    }

    /// With what an earlier try left.
    fn with_part(hosts: &[Host], part: &[u8]) -> Case {
        let case = Case::new(hosts);
        std::fs::write(case.dir.path().join("file.bin.part"), part).unwrap();
        case
    }

    fn fetch(&self) -> Result<Fetched> {
        fetch_with(&curl, &one_file("file.bin", &body(), None), self.dir.path(), Some(&self.server.base))
    }

    /// It must work, leave the file alone, and have asked for these ranges.
    #[track_caller]
    fn succeeds(&self, asked: &[&str]) {
        assert_eq!(self.fetch().unwrap(), Fetched::New);
        assert!(std::fs::read(self.dir.path().join("file.bin")).unwrap() == body());
        assert_eq!(names(self.dir.path()), ["file.bin"]);
        assert_eq!(self.server.asked(), asked);
    }

    /// It must fail with this message, and leave a beginning of this length, or nothing.
    #[track_caller]
    fn fails(&self, says: &str, left: Option<usize>) {
        let message = format!("{:#}", self.fetch().unwrap_err());
        assert!(message.contains(says), "“{says}” is not in: {message}");
        match left {
            Some(length) => {
                assert_eq!(names(self.dir.path()), ["file.bin.part"]);
                let part = std::fs::read(self.dir.path().join("file.bin.part")).unwrap();
                assert!(part == body()[..length], "{} bytes", part.len());
            }
            None => assert_eq!(names(self.dir.path()), [""; 0]),
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_whole_and_is_not_fetched_twice() {
    let case = Case::new(&[Host::Good]);
    case.succeeds(&[""]);
    assert_eq!(case.fetch().unwrap(), Fetched::Present);
    assert_eq!(case.server.asked().len(), 1);
}

#[test]
fn a_transfer_that_is_cut_off_goes_on() {
    Case::new(&[Host::CutsAfter(100_000), Host::CutsAfter(0), Host::CutsAfter(50_000), Host::Good])
        .succeeds(&["", "100000-", "100000-", "150000-"]);
}

#[test]
fn a_later_try_goes_on_where_the_first_one_ended() {
    let case = Case::new(&[Host::CutsAfter(20_000); 10]);
    case.fails("cut off after 200000 of 300000 bytes, 10 times in all", Some(200_000));
    let again = Case::with_part(&[Host::Good], &body()[..200_000]);
    again.succeeds(&["200000-"]);
}

#[test]
fn a_host_that_cannot_go_on_begins_anew() {
    Case::with_part(&[Host::IgnoresRange, Host::IgnoresRange], &body()[..70_000]).succeeds(&["70000-", ""]);
}

#[test]
fn what_is_whole_but_for_its_name_needs_no_host() {
    Case::with_part(&[], &body()).succeeds(&[]);
}

#[test]
fn a_beginning_that_is_none_does_no_lasting_harm() {
    // Too long.
    Case::with_part(&[Host::Good], &vec![1; 300_001]).succeeds(&[""]);
    // Of another file.
    let case = Case::with_part(&[Host::Good, Host::Good], &[1; 1000]);
    case.fails("found the MD5", None);
    case.succeeds(&["1000-", ""]);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let case = Case::new(&[Host::Damages]);
    case.fails("file.bin: this is not the file that is expected", None);
    let case = Case::new(&[Host::Damages]);
    case.fails("found the MD5", None);
}

#[test]
fn a_wrong_length_is_refused() {
    Case::new(&[Host::Shortens(1)]).fails("found 299999 bytes, expected 300000", None);
    Case::new(&[Host::Endless]).fails("found more than the 300000 bytes expected", None);
}

#[test]
fn what_a_host_says_is_passed_on() {
    Case::new(&[Host::Missing]).fails("file.bin: curl: (22) The requested URL returned error: 404", None);
    // A beginning is kept: the host may have a bad day.
    Case::with_part(&[Host::Missing], &body()[..9]).fails("404", Some(9));
    // Nobody there.
    Case::new(&[]).fails("curl: (7)", None);
}

#[test]
fn redirections_are_followed_but_not_off_the_web() {
    let case = Case::new(&[Host::Redirects("/elsewhere"), Host::Good]);
    case.succeeds(&["", ""]);
    Case::new(&[Host::Redirects("file:///etc/hostname")]).fails("curl: (1)", None);
    Case::new(&[Host::Redirects("/again"); 7]).fails("curl: (47)", None);
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let case = Case::new(&[Host::Good]);
    let path = case.dir.path().join("file.bin");
    for (content, says) in [(vec![7; 5], "found 5 bytes, expected 300000"), (vec![7; 300_000], "found the MD5")] {
        std::fs::write(&path, &content).unwrap();
        let message = format!("{:#}", case.fetch().unwrap_err());
        assert!(message.contains(says) && message.contains("move it away"), "{message}");
        assert!(std::fs::read(&path).unwrap() == content);
    }
    assert_eq!(case.server.asked().len(), 0);
}

#[test]
fn without_curl_it_says_so() {
    let dir = tempdir().unwrap();
    let source = one_file("file.bin", &body(), None);
    let error = fetch_with(&|| Command::new("no-such-program"), &source, dir.path(), None).unwrap_err();
    assert!(format!("{error:#}").contains("cannot find the program curl"), "{error:#}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempdir().unwrap();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "").unwrap();
    let error = fetch(&one_file("file.bin", &body(), None), &taken, None).unwrap_err();
    assert!(format!("{error:#}").contains("taken: cannot make the directory"), "{error:#}");
}

const ARCHIVE: Archive = Archive { folder: "set", members: &[("a.bin", 5), ("b.bin", 3)] };

/// An entry of an archive. The name goes into its header as it is, without any check.
fn entry(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    if kind.is_symlink() {
        header.set_link_name("/etc/hostname").unwrap();
    }
    header.set_cksum();
    builder.append(&header, data).unwrap();
}

fn tar_gz(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    entries.iter().for_each(|(name, kind, data)| entry(&mut builder, name, *kind, data));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap()
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[test]
fn an_archive_is_fetched_and_unpacked() {
    let content = tar_gz(&[
        ("set/", tar::EntryType::Directory, b""),
        ("set/readme.html", FILE, b"text"),
        ("set/b.bin", FILE, b"bbb"),
        ("./set/a.bin", FILE, b"aaaaa"),
    ]);
    let dir = tempdir().unwrap();
    let server = Server::new(&content, &[Host::CutsAfter(30), Host::Good]);
    let source = one_file("set.tar.gz", &content, Some(ARCHIVE));
    let fetch = || fetch_with(&curl, &source, dir.path(), Some(&server.base)).unwrap();
    assert_eq!(fetch(), Fetched::New);
    assert_eq!(names(dir.path()), ["a.bin", "b.bin", "set.tar.gz"]);
    assert_eq!(std::fs::read(dir.path().join("a.bin")).unwrap(), b"aaaaa");
    assert_eq!(fetch(), Fetched::Present);
    // A file that got lost comes from the archive; without it, and with all files, there is nothing to do.
    std::fs::remove_file(dir.path().join("b.bin")).unwrap();
    assert_eq!(fetch(), Fetched::New);
    assert_eq!(std::fs::read(dir.path().join("b.bin")).unwrap(), b"bbb");
    std::fs::remove_file(dir.path().join("set.tar.gz")).unwrap();
    assert_eq!(fetch(), Fetched::Present);
    assert_eq!(server.asked(), ["", "30-"]);
}

/// Unpacks into a folder inside of another, which must stay as it was.
#[track_caller]
fn unpacking_fails(content: &[u8], says: &str, left: &[&str]) {
    let outer = tempdir().unwrap();
    let dir = outer.path().join("inner");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(outer.path().join("set.tar.gz"), content).unwrap();
    let error = unpack::unpack(&outer.path().join("set.tar.gz"), &ARCHIVE, &dir).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("set.tar.gz: cannot unpack it") && message.contains(says), "{message}");
    assert_eq!(names(outer.path()), ["inner", "set.tar.gz"]);
    assert_eq!(names(&dir), left);
}

#[test]
fn no_path_leads_out_of_the_directory() {
    for name in
        ["../a.bin", "/a.bin", "set/../a.bin", "set/../../a.bin", "a.bin", "set/set/a.bin", "other/a.bin", "..", ""]
    {
        let content = tar_gz(&[(name, FILE, b"aaaaa"), ("set/b.bin", FILE, b"bbb")]);
        unpacking_fails(&content, "it ends without set/a.bin", &["b.bin"]);
    }
}

#[test]
fn hostile_archives_are_refused() {
    let good: (&str, tar::EntryType, &[u8]) = ("set/a.bin", FILE, b"aaaaa");
    unpacking_fails(&tar_gz(&[("set/a.bin", tar::EntryType::Symlink, b"")]), "a.bin is of the kind Symlink", &[]);
    unpacking_fails(
        &tar_gz(&[good, ("set/b.bin", tar::EntryType::Link, b"")]),
        "b.bin is of the kind Link",
        &["a.bin"],
    );
    unpacking_fails(&tar_gz(&[good, ("set/b.bin", FILE, b"bbbb")]), "b.bin has 4 bytes, expected 3", &["a.bin"]);
    unpacking_fails(&tar_gz(&[good]), "it ends without set/b.bin", &["a.bin"]);
    unpacking_fails(b"no archive", "", &[]);
    unpacking_fails(&[], "", &[]);
    let whole = tar_gz(&[good, ("set/b.bin", FILE, b"bbb")]);
    unpacking_fails(&whole[..whole.len() / 2], "", &[]);
    // 64 MiB of zeros that nobody asked for: read only so far.
    let bomb = tar_gz(&[("set/bomb", FILE, &vec![0; 64 << 20]), good, ("set/b.bin", FILE, b"bbb")]);
    assert!(bomb.len() < 100 << 10);
    unpacking_fails(&bomb, "", &[]);
}

#[test]
fn a_file_in_the_way_is_not_overwritten() {
    let dir = tempdir().unwrap();
    let archive = dir.path().join("set.tar.gz");
    std::fs::write(&archive, tar_gz(&[("set/a.bin", FILE, b"aaaaa"), ("set/b.bin", FILE, b"bbb")])).unwrap();
    std::fs::write(dir.path().join("b.bin"), "my own").unwrap();
    let error = unpack::unpack(&archive, &ARCHIVE, dir.path()).unwrap_err();
    assert!(format!("{error:#}").contains("b.bin: this is there already"), "{error:#}");
    assert_eq!(std::fs::read(dir.path().join("b.bin")).unwrap(), b"my own");
}

#[test]
fn sources_are_well_formed() {
    use crate::data::DataName;
    use clap::ValueEnum;
    for name in DataName::value_variants() {
        let drawn_or_own = !name.needs_files() || *name == DataName::Folder;
        let Some(source) = source(*name) else {
            assert!(drawn_or_own, "{name:?} has no source");
            continue;
        };
        assert!(!drawn_or_own && source.base.starts_with("http") && !source.base.ends_with('/'));
        assert!(source.archive.is_none() || source.files.len() == 1);
        for file in source.files {
            assert!(
                file.md5.len() == 32 && file.md5.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{file:?}"
            );
        }
    }
}

#[test]
#[ignore = "needs the files of Fashion-MNIST, in the directory that WENGERT_FASHION_MNIST names"]
fn the_labels_of_fashion_mnist_have_the_published_checksums() {
    let dir = std::env::var_os("WENGERT_FASHION_MNIST").expect("WENGERT_FASHION_MNIST names no directory");
    let files = source(crate::data::DataName::FashionMnist).unwrap().files;
    for file in files.iter().filter(|file| file.name.contains("labels")) {
        assert!(!download::download(&|| unreachable!(), "", file, Path::new(&dir)).unwrap());
    }
}

//! A server of restic's REST protocol for tests, with faults that the address chooses: http://HOST:PORT/FAULT/REPOSITORY/. All faults
//! of one server share its repositories, so that what was sent under one fault is read back without it. It runs in the test's
//! own process and ends with it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is wrong with a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Sound,
    /// It accepts packs, says that all is well, and keeps none of them.
    Forgets,
    /// It keeps the first half of each pack.
    Halves,
    /// It changes one bit in the middle of each pack.
    Flips,
    /// It drops the connection in the middle of a pack, and every connection after that.
    GoesAway,
    /// It reads 64 KiB of a pack in a fifth of a second.
    Slow,
    /// It answers 507 to each pack.
    Full,
    /// It answers 401 to everything.
    Refuses,
}

const FAULTS: [(&str, Fault); 8] = [
    ("sound", Fault::Sound),
    ("forgets", Fault::Forgets),
    ("halves", Fault::Halves),
    ("flips", Fault::Flips),
    ("goes-away", Fault::GoesAway),
    ("slow", Fault::Slow),
    ("full", Fault::Full),
    ("refuses", Fault::Refuses),
];

struct Shared {
    folder: tempfile::TempDir,
    stopped: AtomicBool,
    gone: AtomicBool,
    requests: Mutex<Vec<String>>,
}

/// A running server.
pub struct Remote {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Remote {
    /// Starts it at an address of this machine: 127.0.0.1, or 0.0.0.0 for pods of the local cluster, which reach it at 10.244.0.1.
    pub fn start(address: &str) -> Remote {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            folder: tempfile::tempdir().unwrap(),
            stopped: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            requests: Mutex::default(),
        });
        let for_server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if for_server.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&for_server);
                // A client that leaves is no concern of the server's.
                std::thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Remote { port, shared }
    }

    /// restic's address of a repository behind a fault.
    pub fn repository(&self, host: &str, fault: Fault, name: &str) -> String {
        let (word, _) = FAULTS.iter().find(|(_, known)| *known == fault).unwrap();
        format!("rest:http://{host}:{}/{word}/{name}/", self.port)
    }

    /// Drops every connection from now on, under any fault.
    pub fn go_away(&self) {
        self.shared.gone.store(true, Ordering::SeqCst);
    }

    /// Ends what `go_away` or `Fault::GoesAway` began.
    pub fn come_back(&self) {
        self.shared.gone.store(false, Ordering::SeqCst);
    }

    /// The requests so far, as "METHOD PATH".
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The files of one kind in a repository: data, index, keys, locks or snapshots.
    pub fn files(&self, name: &str, kind: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.shared.folder.path().join(name).join(kind));
        let mut files: Vec<PathBuf> =
            entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
        files
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

struct Request {
    method: String,
    fault: Fault,
    /// The repository, and the rest of the path: `["config"]`, `["data", ""]`, `["data", NAME]`.
    repository: String,
    rest: Vec<String>,
    length: usize,
    range: Option<(usize, usize)>,
    wants_sizes: bool,
    waits: bool,
}

/// A request's head. None if it is malformed.
fn head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let path = target.split('?').next()?.strip_prefix('/')?;
    let mut parts = path.split('/').map(str::to_string);
    let word = parts.next()?;
    let (_, fault) = FAULTS.iter().find(|(known, _)| *known == word)?;
    let repository = parts.next()?;
    let mut request = Request {
        method,
        fault: *fault,
        repository,
        rest: parts.collect(),
        length: 0,
        range: None,
        wants_sizes: false,
        waits: false,
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => request.length = value.parse().ok()?,
            "range" => {
                let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX - 1)));
            }
            "accept" => request.wants_sizes = value.contains("rest.v2"),
            "expect" => request.waits = true,
            _ => {}
        }
    }
    // The rest is used in the name of a file.
    let plain = |part: &String| part.chars().all(|c| c.is_ascii_alphanumeric());
    (plain(&request.repository) && request.rest.iter().all(plain)).then_some(request)
}

fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &[u8], sends_body: bool) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if sends_body { stream.write_all(body) } else { Ok(()) }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(request) = head(&mut reader) else {
            return answer(&mut stream, "400 Bad Request", "text/plain", b"", true);
        };
        let path = format!("{} {}/{}", request.method, request.repository, request.rest.join("/"));
        self.requests.lock().unwrap().push(path);
        if self.gone.load(Ordering::SeqCst) {
            return Ok(());
        }
        if request.waits {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let Some(body) = self.body(&mut reader, &request)? else { return Ok(()) };
        if request.fault == Fault::Refuses {
            return answer(&mut stream, "401 Unauthorized", "text/plain", b"", request.method != "HEAD");
        }
        let repository = self.folder.path().join(&request.repository);
        let path = request.rest.iter().fold(repository.clone(), |path, part| path.join(part));
        match request.method.as_str() {
            "POST" if request.rest.iter().all(String::is_empty) => {
                for kind in ["data", "index", "keys", "locks", "snapshots"] {
                    fs::create_dir_all(repository.join(kind))?;
                }
                answer(&mut stream, "200 OK", "text/plain", b"", true)
            }
            "POST" => answer(&mut stream, self.keep(&request, &path, body)?, "text/plain", b"", true),
            "GET" if path.is_dir() => {
                let list = list(&path, request.wants_sizes)?;
                let version = if request.wants_sizes { "v2" } else { "v1" };
                answer(
                    &mut stream,
                    "200 OK",
                    &format!("application/vnd.x.restic.rest.{version}"),
                    list.as_bytes(),
                    true,
                )
            }
            "GET" | "HEAD" => match (fs::read(&path), request.range) {
                (Ok(bytes), Some((first, last))) if first < bytes.len() => {
                    let last = last.min(bytes.len() - 1);
                    answer(&mut stream, "206 Partial Content", "application/octet-stream", &bytes[first..=last], true)
                }
                (Ok(bytes), None) => {
                    answer(&mut stream, "200 OK", "application/octet-stream", &bytes, request.method == "GET")
                }
                (Ok(_), Some(_)) => answer(&mut stream, "416 Range Not Satisfiable", "text/plain", b"", true),
                (Err(_), _) => answer(&mut stream, "404 Not Found", "text/plain", b"", request.method == "GET"),
            },
            "DELETE" => {
                let status = if fs::remove_file(&path).is_ok() { "200 OK" } else { "404 Not Found" };
                answer(&mut stream, status, "text/plain", b"", true)
            }
            _ => answer(&mut stream, "405 Method Not Allowed", "text/plain", b"", true),
        }
    }

    /// The body of a request. None if the server goes away while it reads.
    fn body(&self, reader: &mut impl Read, request: &Request) -> std::io::Result<Option<Vec<u8>>> {
        let mut body = vec![0; request.length];
        match request.fault {
            Fault::GoesAway if request.is_pack() => {
                reader.read_exact(&mut body[..request.length / 2])?;
                self.gone.store(true, Ordering::SeqCst);
                return Ok(None);
            }
            Fault::Slow if request.is_pack() => {
                for piece in body.chunks_mut(64 * 1024) {
                    reader.read_exact(piece)?;
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
            _ => reader.read_exact(&mut body)?,
        }
        Ok(Some(body))
    }

    /// Keeps what was sent; the status to answer.
    fn keep(&self, request: &Request, path: &Path, mut body: Vec<u8>) -> std::io::Result<&'static str> {
        if request.is_pack() {
            match request.fault {
                Fault::Full => return Ok("507 Insufficient Storage"),
                Fault::Forgets => return Ok("200 OK"),
                Fault::Halves => body.truncate(body.len() / 2),
                Fault::Flips => {
                    let middle = body.len() / 2;
                    body[middle] ^= 1;
                }
                _ => {}
            }
        }
        if path.exists() {
            return Ok("403 Forbidden");
        }
        let mut file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        file.write_all(&body)?;
        file.persist(path)?;
        Ok("200 OK")
    }
}

impl Request {
    fn is_pack(&self) -> bool {
        self.method == "POST" && self.rest.first().is_some_and(|kind| kind == "data") && self.rest.len() == 2
    }
}

/// A list of files, as the protocol wants it.
fn list(path: &Path, with_sizes: bool) -> std::io::Result<String> {
    let mut items = Vec::new();
    for entry in fs::read_dir(path)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        items.push(match with_sizes {
            true => serde_json::json!({"name": name, "size": entry.metadata()?.len()}),
            false => name.into(),
        });
    }
    Ok(serde_json::Value::from(items).to_string())
}

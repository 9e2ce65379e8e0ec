//! Serves one page of text by HTTP at `/metrics`. Must not know what the page contains.
//!
//! It is no library, because the small servers without a runtime do not limit a client's time, memory and threads. Here
//! a connection has one request and some seconds, and the number of connections is limited.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::exit::{Exit, Fail};

/// How many clients are served at once. One more replaces the oldest.
const MAX_CLIENTS: usize = 16;

/// How long a client is served at least before another replaces it: enough to answer a request, and so short that clients
/// which connect again and again and ask nothing do not block the others.
const MIN_TURN: Duration = Duration::from_millis(100);

/// How long a client may take to send the request and to read the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A page that is served as long as the program runs.
#[derive(Debug, Clone, Default)]
pub struct MetricsPage(Arc<Mutex<Option<Arc<str>>>>);

impl MetricsPage {
    /// Starts to serve the page, still without text, at the first of these addresses that can be bound.
    pub fn serve(at: &[SocketAddr]) -> Result<MetricsPage> {
        let bound = TcpListener::bind(at).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            let at: Vec<String> = at.iter().map(SocketAddr::to_string).collect();
            Fail::new(Exit::Failed, format!("the metrics cannot be served at {}: {error}", at.join(" or ")))
                .remedy("choose another port or address with --listen, or stop the program that listens there")
        })?;
        tracing::info!("http://{address}/metrics is served");
        let page = MetricsPage::default();
        let shown = page.clone();
        thread::spawn(move || shown.listen(&listener));
        Ok(page)
    }

    /// Replaces the text of the page.
    pub fn put(&self, text: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }

    fn listen(&self, listener: &TcpListener) {
        let mut clients: VecDeque<Client> = VecDeque::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    clients.retain(|client| !client.answer.is_finished());
                    if clients.len() >= MAX_CLIENTS {
                        clients.pop_front().into_iter().for_each(Client::disconnect);
                    }
                    let (page, stream, came) = (self.clone(), Arc::new(stream), Instant::now());
                    let mut timed = Timed { stream: Arc::clone(&stream), end: came + CLIENT_TIMEOUT };
                    // A client that got no answer asks again.
                    let answer = thread::Builder::new().spawn(move || drop(page.answer(&mut timed)));
                    clients.extend(answer.map(|answer| Client { stream, came, answer }));
                }
                // A client failed, or no file descriptor is left.
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn answer(&self, client: &mut Timed) -> io::Result<()> {
        let Some((method, path)) = read_request(client)? else { return Ok(()) };
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (status, text): (_, Arc<str>) = match (method.as_str(), path.as_str(), text) {
            ("GET" | "HEAD", "/metrics", Some(text)) => ("200 OK", text),
            ("GET" | "HEAD", "/metrics", None) => ("503 Service Unavailable", "nothing has been read yet\n".into()),
            ("GET" | "HEAD", ..) => ("404 Not Found", "the only page is /metrics\n".into()),
            _ => ("405 Method Not Allowed", "only GET and HEAD are allowed\n".into()),
        };
        // Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/#basic-info).
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            text.len()
        );
        client.write_all(head.as_bytes())?;
        if method != "HEAD" {
            client.write_all(text.as_bytes())?;
        }
        // Closing a connection with unread input would make the kernel discard what the client has not read yet.
        client.stream.shutdown(Shutdown::Write)?;
        io::copy(client, &mut io::sink()).map(|_| ())
    }
}

struct Client {
    stream: Arc<TcpStream>,
    came: Instant,
    answer: JoinHandle<()>,
}

impl Client {
    /// Ends the connection and its thread.
    fn disconnect(self) {
        thread::sleep(MIN_TURN.saturating_sub(self.came.elapsed()));
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.answer.join();
    }
}

/// Reads method and path of the request, or None if it is malformed.
fn read_request(client: &mut impl Read) -> io::Result<Option<(String, String)>> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = client.read(&mut part)?;
        if read == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
        head.extend_from_slice(&part[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let path = target.split('?').next().unwrap_or_default();
    Ok(Some((method.into(), path.into())))
}

/// A connection with one time limit for all reads and writes.
struct Timed {
    stream: Arc<TcpStream>,
    end: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        (&*self.stream).read(part)
    }
}

impl Write for Timed {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        (&*self.stream).write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.stream).flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_parsed_once_its_head_is_complete() {
        let ask = |text: &str| read_request(&mut text.as_bytes()).unwrap();
        let of = |method: &str, path: &str| Some((method.to_string(), path.to_string()));
        assert_eq!(ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), of("GET", "/metrics"));
        assert_eq!(ask("HEAD /metrics?a=b HTTP/1.0\r\n\r\n"), of("HEAD", "/metrics"));
        for text in ["", "GET /metrics HTTP/1.1\r\nHost: x\r\n", "\r\n\r\n", "nonsense\r\n\r\n"] {
            assert_eq!(ask(text), None, "{text:?}");
        }
        let endless = "x".repeat(2 * MAX_HEAD);
        assert_eq!(ask(&endless), None);
    }
}

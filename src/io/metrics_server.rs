//! One page of text, served by HTTP to whoever asks for `/metrics`. Must not know what stands on it.
//!
//! By hand, because the small servers that need no runtime give a client all the time, memory and threads that it wants. Here
//! a connection has one request and some seconds, and there are only so many at once.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exit::{Exit, Fail};

/// How many clients are answered at once; one more takes the place of the first of them.
const CLIENTS: usize = 16;

/// How long a client keeps its place at least. Whoever asks is answered in that time; whoever does not, and comes again and
/// again, keeps the others waiting no longer.
const TURN: Duration = Duration::from_millis(100);

/// How long a client may take to ask and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes.
const LONGEST: usize = 16 * 1024;

/// A page that is served for as long as the program runs.
#[derive(Debug, Clone, Default)]
pub struct MetricsPage(Arc<Mutex<Option<Arc<str>>>>);

impl MetricsPage {
    /// Serves it from now on, empty at first, at the first of these addresses that can be had.
    ///
    /// # Errors
    /// None can be had.
    pub fn serve(at: &[SocketAddr]) -> Result<MetricsPage, Fail> {
        let bound = TcpListener::bind(at).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            let at: Vec<String> = at.iter().map(SocketAddr::to_string).collect();
            Fail::new(Exit::Failed, format!("nothing can be served at {}: {error}", at.join(" or ")))
                .remedy("choose another port or address with --listen, or end what listens there")
        })?;
        tracing::info!("http://{address}/metrics is served");
        let page = MetricsPage::default();
        let shown = page.clone();
        thread::spawn(move || shown.listen(&listener));
        Ok(page)
    }

    /// From now on this stands on it.
    pub fn put(&self, text: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }

    fn listen(&self, listener: &TcpListener) {
        let mut clients: VecDeque<Client> = VecDeque::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    clients.retain(|client| !client.answer.is_finished());
                    if clients.len() >= CLIENTS {
                        clients.pop_front().into_iter().for_each(Client::send_away);
                    }
                    let (page, stream, came) = (self.clone(), Arc::new(stream), Instant::now());
                    let mut timed = Timed { stream: Arc::clone(&stream), end: came + PATIENCE };
                    // Whoever went away, or had to, asks again.
                    let answer = thread::Builder::new().spawn(move || drop(page.answer(&mut timed)));
                    clients.extend(answer.map(|answer| Client { stream, came, answer }));
                }
                // Of one client, or no file is left for it.
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn answer(&self, client: &mut Timed) -> io::Result<()> {
        let Some((method, path)) = asked(client)? else { return Ok(()) };
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (status, text): (_, Arc<str>) = match (method.as_str(), path.as_str(), text) {
            ("GET" | "HEAD", "/metrics", Some(text)) => ("200 OK", text),
            ("GET" | "HEAD", "/metrics", None) => ("503 Service Unavailable", "nothing has been read yet\n".into()),
            ("GET" | "HEAD", ..) => ("404 Not Found", "there is /metrics alone\n".into()),
            _ => ("405 Method Not Allowed", "this can only be read\n".into()),
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
        // What nobody reads would have the kernel cut off what the client has not read yet.
        client.stream.shutdown(Shutdown::Write)?;
        io::copy(client, &mut io::sink()).map(|_| ())
    }
}

/// Somebody who is being answered.
struct Client {
    stream: Arc<TcpStream>,
    came: Instant,
    answer: JoinHandle<()>,
}

impl Client {
    /// Makes room for another, with its thread gone as well.
    fn send_away(self) {
        thread::sleep(TURN.saturating_sub(self.came.elapsed()));
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.answer.join();
    }
}

/// Method and path of the request, once its head is whole; none where it is none.
fn asked(client: &mut impl Read) -> io::Result<Option<(String, String)>> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = client.read(&mut part)?;
        if read == 0 || head.len() > LONGEST {
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

/// A connection that ends at a certain time, however slowly something comes and goes.
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
    fn a_request_is_understood_once_it_is_whole() {
        let ask = |text: &str| asked(&mut text.as_bytes()).unwrap();
        let of = |method: &str, path: &str| Some((method.to_string(), path.to_string()));
        assert_eq!(ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), of("GET", "/metrics"));
        assert_eq!(ask("HEAD /metrics?a=b HTTP/1.0\r\n\r\n"), of("HEAD", "/metrics"));
        for text in ["", "GET /metrics HTTP/1.1\r\nHost: x\r\n", "\r\n\r\n", "nonsense\r\n\r\n"] {
            assert_eq!(ask(text), None, "{text:?}");
        }
        let endless = "x".repeat(2 * LONGEST);
        assert_eq!(ask(&endless), None);
    }
}

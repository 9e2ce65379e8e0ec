//! One page of text, served by HTTP to whoever asks for `/metrics`. Must not know what stands on it.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tiny_http::{Header, Method, Request, Response, Server};

use crate::exit::{Exit, Fail};

/// Prometheus' text format
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#basic-info>).
const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is served for as long as the program runs.
#[derive(Debug, Clone, Default)]
pub struct Page(Arc<Mutex<Option<String>>>);

impl Page {
    /// Serves it from now on, empty at first, at the first of these addresses that can be had.
    ///
    /// # Errors
    /// None can be had.
    pub fn serve(at: &[SocketAddr]) -> Result<Page, Fail> {
        let taken = |why: String| {
            let at: Vec<String> = at.iter().map(SocketAddr::to_string).collect();
            Fail::new(Exit::Failed, format!("nothing can be served at {}: {why}", at.join(" or ")))
                .remedy("choose another port or address with --listen, or end what listens there")
        };
        let listener = TcpListener::bind(at).map_err(|error| taken(error.to_string()))?;
        let server = Server::from_listener(listener, None).map_err(|error| taken(error.to_string()))?;
        tracing::info!("http://{}/metrics is served", server.server_addr());
        let page = Page::default();
        let shown = page.clone();
        thread::spawn(move || server.incoming_requests().for_each(|request| shown.answer(request)));
        Ok(page)
    }

    /// From now on this stands on it.
    pub fn put(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    fn answer(&self, request: Request) {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (status, text) = match (request.method(), request.url().split('?').next(), text) {
            (Method::Get | Method::Head, Some("/metrics"), Some(text)) => (200, text),
            (Method::Get | Method::Head, Some("/metrics"), None) => (503, "nothing has been read yet\n".into()),
            (Method::Get | Method::Head, ..) => (404, "there is /metrics alone\n".into()),
            _ => (405, "this can only be read\n".into()),
        };
        let header = Header::from_bytes(b"Content-Type", TYPE);
        let response = Response::from_string(text).with_status_code(status);
        let response = header.into_iter().fold(response, Response::with_header);
        // Whoever asked and went away asks again.
        let _ = request.respond(response);
    }
}

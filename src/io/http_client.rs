//! Sends HTTP requests, and reads no more of an answer than its status. Must not know what is sent.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error};

/// One request; with a body it is a POST, else a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// May be a secret.
    pub url: String,
    /// Names and values, which may be secrets.
    pub headers: Vec<(String, String)>,
    pub body: Option<Body>,
}

/// What is sent, and of which type it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub media_type: &'static str,
    pub text: String,
}

/// Why a request was not taken. The reason does not hold the address or a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpFault {
    pub why: String,
    /// Whether the same request may succeed a moment later.
    pub is_temporary: bool,
}

/// Whether a text is an address with http or https and a host.
pub fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// The part of an address that is no secret: `https://hooks.example.com`.
pub fn origin(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let origin = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.port())));
    origin.map_or_else(String::new, |(scheme, host, port)| {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}")
    })
}

/// Sends requests.
pub struct HttpClient(Agent);

impl HttpClient {
    /// A client whose requests each may take at most `limit`. They go through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`
    /// name, if any. Certificates are compared with those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Redirects are not
    /// followed, because they could carry the body and the headers to another host.
    pub fn new(limit: Duration) -> HttpClient {
        let found = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder().tls_config(tls).max_redirects(0).max_redirects_will_error(false);
        // Hours may be between two requests, so no connection is kept.
        let config = config.max_idle_connections(0).http_status_as_error(false).timeout_global(Some(limit));
        HttpClient(config.user_agent(concat!("backup-ns/", env!("CARGO_PKG_VERSION"))).build().into())
    }

    /// Sends a request.
    ///
    /// # Errors
    /// It was not sent within the limit, or the answer's status is not 2xx.
    pub fn send(&self, HttpRequest { url, headers, body }: &HttpRequest) -> Result<(), HttpFault> {
        let outcome = match body {
            Some(Body { media_type, text }) => {
                let post = self.0.post(url).content_type(*media_type);
                headers.iter().fold(post, |post, (name, value)| post.header(name, value)).send(text)
            }
            None => headers.iter().fold(self.0.get(url), |get, (name, value)| get.header(name, value)).call(),
        };
        match outcome {
            Ok(response) => judge(response.status().as_u16()),
            Err(error) => Err(HttpFault { why: words(&error), is_temporary: is_temporary(&error) }),
        }
    }
}

/// Judges an answer by its status (RFC 9110, 15).
fn judge(status: u16) -> Result<(), HttpFault> {
    let fault = |what: &str, is_temporary| Err(HttpFault { why: format!("it answered {status}{what}"), is_temporary });
    match status {
        200..=299 => Ok(()),
        300..=399 => fault(", a redirect, which is not followed: set the address that it leads to", false),
        408 | 425 | 429 | 500..=599 => fault("", true),
        _ => fault("", false),
    }
}

fn is_temporary(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Timeout(_) | Error::HostNotFound | Error::ConnectionFailed)
}

/// What went wrong. Words of the library that may hold the address are replaced.
fn words(error: &Error) -> String {
    match error {
        Error::BadUri(_) => "its address is not valid".into(),
        Error::Timeout(_) => "it did not answer in time".into(),
        Error::HostNotFound => "its host was not found".into(),
        Error::InvalidProxyUrl => "the address of the proxy is not valid".into(),
        Error::ConnectProxyFailed(_) => "the proxy refused it".into(),
        Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for (text, right) in [
            ("https://hooks.example.com/T0/B0/x?y=1", true),
            ("http://alerts.monitoring.svc:8080", true),
            ("http://[::1]:8080/x", true),
            ("hooks.example.com/x", false),
            ("ftp://hooks.example.com/x", false),
            ("https:///x", false),
            ("https://hooks.example.com/a b", false),
            ("", false),
        ] {
            assert_eq!(is_url(text), right, "{text}");
        }
    }

    #[test]
    fn the_origin_shows_no_secret() {
        assert_eq!(
            origin("https://user:word@hooks.example.com:8443/T0/secret?token=1"),
            "https://hooks.example.com:8443"
        );
        assert_eq!(origin("nothing"), "");
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        for (status, temporary) in
            [(301, false), (400, false), (404, false), (408, true), (429, true), (500, true), (503, true)]
        {
            assert_eq!(judge(status).unwrap_err().is_temporary, temporary, "{status}");
        }
        assert_eq!((judge(200), judge(204)), (Ok(()), Ok(())));
    }
}

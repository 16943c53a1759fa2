//! HTTP, as every cloud needs it: clients with one TLS back end, and retries that back off.

use std::time::Duration;

use reqwest::{ClientBuilder, Response};

use super::{CloudError, Retry};
use crate::web;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// First pause before a call is made again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest body that is read: some times what the largest list of a cloud has.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// A client for the API of a cloud: certificates as the machine trusts them, no redirects, proxies from the environment.
/// Loads certificates, which takes some milliseconds: make one and keep it.
pub fn api_client() -> ClientBuilder {
    web::client()
        .user_agent(concat!("terraform-provider-sluice/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
}

/// The body of an answer. One that goes on for ever is cut, and then makes no sense as JSON.
///
/// # Errors
/// The connection broke off.
pub async fn body_of(mut answer: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = BODY_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= BODY_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// Makes a call again while that can help, up to so many times in all. The call must be safe to repeat.
///
/// # Errors
/// The last error.
pub async fn with_retries<T>(
    attempts_max: u32,
    call: impl AsyncFn() -> Result<T, CloudError>,
) -> Result<T, CloudError> {
    let mut attempt = 1;
    loop {
        match call().await {
            Err(error) if attempt < attempts_max && error.retry != Retry::Never => {
                pause_after(attempt, error.retry).await;
            }
            answer => return answer,
        }
        attempt += 1;
    }
}

/// The pause after so many attempts, the last of which failed like this.
pub async fn pause_after(attempt: u32, retry: Retry) {
    let pause = match retry {
        Retry::After(pause) => pause.min(LONGEST_PAUSE),
        Retry::Backoff | Retry::Never => backoff(attempt),
    };
    tokio::time::sleep(pause).await;
}

/// The pause after so many attempts: doubled each time, then between a half and the whole of it, so that callers that
/// failed together do not come back together.
fn backoff(attempt: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << attempt.min(10).saturating_sub(1)).min(LONGEST_PAUSE);
    let mut byte = [0_u8; 1];
    // Without randomness the pause is merely the same for all.
    let _same = rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::empty());
    whole / 2 + (whole / 2).mul_f64(f64::from(byte.first().copied().unwrap_or(0)) / 255.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::cloud::CloudErrorKind;
    use crate::spec::CloudName;

    #[test]
    fn pauses_grow_and_end_growing() {
        for (attempt, most) in [(1, 200), (2, 400), (4, 1600), (40, 20_000)] {
            let pause = backoff(attempt);
            let most = Duration::from_millis(most);
            assert!(pause >= most / 2 && pause <= most, "{attempt}: {pause:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        use tokio::io::AsyncWriteExt;
        use tokio::net::TcpListener;

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await.unwrap();
            let _head = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let spaces = vec![b' '; 65_536];
            // Until the reader has had enough and closes.
            while stream.write_all(&spaces).await.is_ok() {}
        });
        let answer = crate::web::local_client().build().unwrap().get(url).send().await.unwrap();
        assert_eq!(body_of(answer).await.unwrap().len(), BODY_BYTES_MAX);
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_work_later_is_tried_again() {
        for (kind, calls_expected) in [(CloudErrorKind::Unreachable, 3), (CloudErrorKind::Denied, 1)] {
            let calls = Cell::new(0);
            let answer: Result<(), _> = with_retries(3, async || {
                calls.set(calls.get() + 1);
                Err(CloudError::new(CloudName::Local, "try", kind))
            })
            .await;
            assert_eq!((answer.unwrap_err().kind, calls.get()), (kind, calls_expected));
        }
    }
}

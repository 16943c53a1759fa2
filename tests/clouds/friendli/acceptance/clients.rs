//! Clients that ask an endpoint again and again while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use super::super::emulator::Emulator;

/// A client on a thread of its own. Whom it was answered by, the emulator remembers.
pub struct Clients {
    leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Clients {
    /// A client of the only endpoint.
    pub fn of(emulator: &Emulator) -> Self {
        let leaving = Arc::<AtomicBool>::default();
        let url = format!("{}/dedicated/v1/chat/completions", emulator.url());
        let body =
            json!({ "model": emulator.ids()[0], "messages": [{ "role": "user", "content": "hello" }] });
        let until = Arc::clone(&leaving);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ask(&url, &body, &until))
        });
        Self { leaving, thread: Some(thread) }
    }

    /// Ends. How many answers there were; one that is no success has failed the test.
    pub fn leave(mut self) -> usize {
        self.leaving.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

async fn ask(url: &str, body: &serde_json::Value, leaving: &AtomicBool) -> usize {
    let client = sluice::web::local_client().build().unwrap();
    let mut answers = 0;
    while !leaving.load(Ordering::Relaxed) {
        let request = client.post(url).bearer_auth("flp_client").json(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answers += 1;
        tokio::time::sleep(crate::patience::LOOK).await;
    }
    answers
}

//! Calls that are answered by events while their work runs.

use std::future::Future;

use tokio::sync::mpsc;

use super::calls::{Call, Calls, crashed};
use super::wire;

/// Events that wait for a client that is slow to take them.
const EVENTS_MAX: usize = 16;

/// One event of a call's answer.
pub(super) trait Event: Send + Sized + 'static {
    /// The event that ends the answer, if one does.
    fn last(diagnostics: Vec<wire::Diagnostic>) -> Option<Self>;
}

impl Calls {
    /// Runs `work` in its own task to its end, whoever still listens. It sends its events as they come, and returns
    /// what the last one tells; if it panics, that is an error.
    pub fn stream<E: Event, F>(
        &self,
        call: Call,
        work: impl FnOnce(mpsc::Sender<E>) -> F,
    ) -> mpsc::Receiver<E>
    where
        F: Future<Output = Vec<wire::Diagnostic>> + Send + 'static,
    {
        let (events, answer) = mpsc::channel(EVENTS_MAX);
        let running = self.lifecycle.tasks.spawn(work(events.clone()));
        self.lifecycle.tasks.spawn(async move {
            let diagnostics = running.await.unwrap_or_else(|error| crashed(call.name, error));
            call.answered(&diagnostics);
            if let Some(last) = E::last(diagnostics) {
                // Nobody may be listening any more.
                let _unheard = events.send(last).await;
            }
        });
        answer
    }
}

//! Deadlines that cost next to nothing while they are kept.
//!
//! A timer that is set and removed for each request takes the lock of the runtime's clock several times. These stay
//! set: when one goes off and finds its deadline moved, it is set anew.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

/// One deadline at a time, moved at will.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready once `at` has passed.
    pub(super) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

/// A future beside a busy one in the same task, polled only when it asked for it itself. Without this, waiting for a
/// cancellation takes a lock at each step of a connection.
///
/// To be polled by one task only.
pub(super) struct Seldom<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    bell: Option<(Arc<Bell>, Waker)>,
    done: bool,
}

struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<T> Seldom<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), bell: None, done: false }
    }

    /// Ready once, and pending for ever after.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let (bell, waker) = self.bell.get_or_insert_with(|| {
            let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: cx.waker().clone() });
            let waker = Waker::from(bell.clone());
            (bell, waker)
        });
        if self.done || !bell.rung.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        bell.rung.swap(false, Ordering::AcqRel);
        let polled = self.future.as_mut().poll(&mut Context::from_waker(waker));
        self.done = polled.is_ready();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_goes_off_at_the_last_deadline_it_was_given() {
        let begun = Instant::now();
        let mut alarm = Alarm::default();
        let after = |seconds| begun + Duration::from_secs(seconds);
        for seconds in [60, 90, 300] {
            assert!(poll_fn(|cx| alarm.poll(after(seconds), cx)).now_or_never().is_none());
        }
        poll_fn(|cx| alarm.poll(after(300), cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 300);
        poll_fn(|cx| alarm.poll(after(310), cx)).await;
        assert!(poll_fn(|cx| alarm.poll(after(900), cx)).now_or_never().is_none());
        poll_fn(|cx| alarm.poll(after(320), cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 320, "a deadline can be moved forward too");
    }

    #[tokio::test]
    async fn what_is_seldom_polled_is_not_missed() {
        let (tell, told) = oneshot::channel();
        let (wait, waiting) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut seldom, mut wait) = (Seldom::new(told), Some(wait));
            poll_fn(|cx| {
                let polled = seldom.poll(cx);
                wait.take().map(|wait| wait.send(()));
                polled
            })
            .await
        });
        waiting.await.unwrap();
        tell.send(7).unwrap();
        assert_eq!(task.await.unwrap(), Ok(7));
    }
}

//! A rollout as it goes, for those who watch it: the entries of its journal as they come, in lines for people.

use std::time::Duration;

use crate::ledger::{Entry, Ledger, LedgerError};
use crate::rollout::{Phase, Record};
use crate::spec::{CloudName, EndpointName, RolloutRevision, steers};

/// Cells of a full bar.
const BAR_WIDTH: u32 = 24;

/// Follows the newest rollout of an endpoint. One that takes over is followed from its beginning.
#[derive(Debug)]
pub struct Follower {
    ledger: Ledger,
    cloud: CloudName,
    endpoint: EndpointName,
    revision: Option<RolloutRevision>,
    next: u64,
}

/// What a look at the journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Entries that no look before has shown.
    pub entries: Vec<Entry>,
    /// Where the rollout stands.
    pub newest: Entry,
    /// Everything has been shown, and nothing will follow.
    pub is_last: bool,
}

impl Follower {
    /// Time between two looks.
    pub const POLL: Duration = Duration::from_millis(300);

    /// Has seen nothing yet.
    pub fn new(ledger: Ledger, cloud: CloudName, endpoint: EndpointName) -> Self {
        Self { ledger, cloud, endpoint, revision: None, next: 0 }
    }

    /// Looks at what is new; nothing if the endpoint never had a rollout.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn look(&mut self) -> Result<Option<News>, LedgerError> {
        let Some((journal, newest)) = self.ledger.current_rollout(self.cloud, &self.endpoint).await? else {
            return Ok(None);
        };
        if self.revision.replace(journal.revision()) != Some(journal.revision()) {
            self.next = 0;
        }
        let entries = journal.entries_from(self.next).await?;
        if let Some(last) = entries.last() {
            self.next = last.sequence + 1;
        }
        let is_last = newest.record.phase.is_terminal() && self.next > newest.sequence;
        Ok(Some(News { entries, newest, is_last }))
    }
}

/// One entry in a line.
pub fn line(entry: &Entry) -> String {
    let record = &entry.record;
    let time = entry.at.strftime("%H:%M:%S");
    let bars = entry.seen.as_ref().map(|seen| {
        let side = |version| bar(seen.fleet.ready_of(version), record.wanted().replicas);
        let from = record.from.map(|from| format!("{} {}  ", from.version, side(from.version)));
        format!("{}{} {}", from.unwrap_or_default(), record.to.version, side(record.to.version))
    });
    let reasons: Vec<String> = entry.reasons.iter().map(|reason| printable(reason)).collect();
    format!("{time}  {:<13} {}  {}", record.phase.as_str(), bars.unwrap_or_default(), reasons.join("; "))
        .trim_end()
        .to_owned()
}

/// How a rollout ended; an error if it did not succeed.
///
/// # Errors
/// Says how it ended instead.
pub fn ending(record: &Record) -> Result<String, String> {
    let text = format!("rollout {} ended: {}", record.revision, record.phase.as_str());
    if record.phase == Phase::Succeeded {
        return Ok(text);
    }
    let reason = record.failure.as_ref().map(|failure| format!(": {}", failure.reason)).unwrap_or_default();
    Err(format!("{text}{reason}"))
}

/// Ready replicas as a share of those wanted.
pub fn bar(ready: usize, wanted: u32) -> String {
    let ready = u32::try_from(ready).unwrap_or(u32::MAX);
    let filled = (ready.saturating_mul(BAR_WIDTH) / wanted.max(1)).min(BAR_WIDTH);
    let cells: String = (0..BAR_WIDTH).map(|cell| if cell < filled { '█' } else { '░' }).collect();
    format!("{cells} {ready}/{wanted}")
}

/// Without control characters: what others wrote must not drive the terminal.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !steers(*c)).collect()
}

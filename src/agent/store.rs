//! The durable half of the desired state: `SQLite`, one connection, one writer thread.
//!
//! In: changes, each list of them one transaction. Out: everything, once, when the agent starts. A change that was
//! answered survives a power cut. Does not decide anything.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use super::desired::{Desired, Endpoint, EndpointRecord, VersionRecord};
use super::replica::Replica;
use crate::spec::{EndpointName, ReplicaId, VersionNumber};

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;
/// Orders that may wait for the writer.
const QUEUE_MAX: usize = 256;
/// Longest wait for one transaction: a disk that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(30);
/// Most digests that are remembered.
const DIGESTS_MAX: i64 = 10_000;

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `SQLite` failed.
    #[error("failed to {operation} the agent's store")]
    Sqlite {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A record cannot be read.
    #[error("failed to read a record of the agent's store")]
    Record(#[from] serde_json::Error),
    /// A name in the store is none.
    #[error("failed to read a name in the agent's store")]
    Name(#[from] crate::spec::InvalidName),
    /// The file is damaged.
    #[error("the agent's store is damaged: {0}")]
    Damaged(String),
    /// The file was written by a later program.
    #[error("the agent's store has format {found}, this program knows up to {SCHEMA_VERSION}")]
    TooNew {
        /// Its format.
        found: i64,
    },
    /// The writer is gone or too slow.
    #[error("the agent's store did not answer within {DEADLINE:?}")]
    Silent,
}

/// One change of the desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets an endpoint.
    PutEndpoint(EndpointName, EndpointRecord),
    /// Removes an endpoint and its versions.
    ForgetEndpoint(EndpointName),
    /// Sets a version.
    PutVersion(EndpointName, Box<VersionRecord>),
    /// Removes a version.
    ForgetVersion(EndpointName, VersionNumber),
    /// Sets a replica.
    PutReplica(EndpointName, Box<Replica>),
    /// Removes a replica.
    ForgetReplica(EndpointName, ReplicaId),
}

type Order = Box<dyn FnOnce(&mut Connection) + Send>;

/// Handle of the writer thread. The thread ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    orders: mpsc::Sender<Order>,
}

impl Store {
    /// Opens or creates the store and checks it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = connect(path)?;
        let (orders, mut inbox) = mpsc::channel::<Order>(QUEUE_MAX);
        std::thread::spawn(move || {
            while let Some(order) = inbox.blocking_recv() {
                order(&mut connection);
            }
        });
        Ok(Self { orders })
    }

    /// Reads everything that is wanted.
    pub async fn load(&self) -> Result<Desired, StoreError> {
        self.call(load).await
    }

    /// Makes changes durable, all or none.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().map_err(failed("write to"))?;
            for change in &changes {
                write(&transaction, change)?;
            }
            transaction.commit().map_err(failed("write to"))
        })
        .await
    }

    /// Reads a setting and replaces it.
    pub async fn swap_setting(
        &self,
        name: &'static str,
        value: String,
    ) -> Result<Option<String>, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().map_err(failed("write to"))?;
            let old = transaction
                .query_row("SELECT value FROM settings WHERE name = ?1", params![name], |row| row.get(0))
                .optional()
                .map_err(failed("read"))?;
            transaction
                .execute(
                    "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)",
                    params![name, value],
                )
                .map_err(failed("write to"))?;
            transaction.commit().map_err(failed("write to"))?;
            Ok(old)
        })
        .await
    }

    /// The remembered digest and size of a model source, if its files are still the same.
    pub async fn digest(&self, path: String, stamp: String) -> Result<Option<(String, u64)>, StoreError> {
        self.call(move |connection| {
            connection
                .query_row(
                    "SELECT digest, bytes FROM digests WHERE path = ?1 AND stamp = ?2",
                    params![path, stamp],
                    |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())),
                )
                .optional()
                .map_err(failed("read"))
        })
        .await
    }

    /// Remembers the digest and size of a model source.
    pub async fn remember_digest(
        &self,
        path: String,
        stamp: String,
        digest: String,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.call(move |connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO digests (path, stamp, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
                    params![path, stamp, digest, bytes],
                )
                .and_then(|_| {
                    connection.execute(
                        "DELETE FROM digests WHERE rowid <= (SELECT max(rowid) FROM digests) - ?1",
                        params![DIGESTS_MAX],
                    )
                })
                .map(drop)
                .map_err(failed("write to"))
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let order: Order = Box::new(move |connection| {
            // Whoever asked may have given up; the order is carried out all the same.
            let _gone = reply.send(order(connection));
        });
        let exchange = async {
            self.orders.send(order).await.map_err(|_| StoreError::Silent)?;
            answer.await.map_err(|_| StoreError::Silent)?
        };
        tokio::time::timeout(DEADLINE, exchange).await.map_err(|_| StoreError::Silent)?
    }
}

fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sqlite { operation, source }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(failed("open"))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed("open"))?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(failed("open"))?;
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed("check"))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict));
    }
    let found: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed("read"))?;
    match found {
        0 => {
            let transaction = connection.transaction().map_err(failed("create"))?;
            transaction.execute_batch(SCHEMA).map_err(failed("create"))?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed("create"))?;
            transaction.commit().map_err(failed("create"))?;
        }
        SCHEMA_VERSION => {}
        found => return Err(StoreError::TooNew { found }),
    }
    Ok(connection)
}

fn write(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    let changed = match change {
        Change::PutEndpoint(name, record) => connection.execute(
            "INSERT INTO endpoints (name, record) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET record = excluded.record",
            params![name.as_str(), json(record)?],
        ),
        Change::ForgetEndpoint(name) => {
            connection.execute("DELETE FROM versions WHERE endpoint = ?1", params![name.as_str()]).and_then(
                |_| connection.execute("DELETE FROM endpoints WHERE name = ?1", params![name.as_str()]),
            )
        }
        Change::PutVersion(name, record) => connection.execute(
            "INSERT INTO versions (endpoint, number, record) VALUES (?1, ?2, ?3)
             ON CONFLICT (endpoint, number) DO UPDATE SET record = excluded.record",
            params![name.as_str(), record.version.number.0, json(record)?],
        ),
        Change::ForgetVersion(name, number) => connection.execute(
            "DELETE FROM versions WHERE endpoint = ?1 AND number = ?2",
            params![name.as_str(), number.0],
        ),
        Change::PutReplica(name, replica) => connection.execute(
            "INSERT INTO replicas (endpoint, id, version, record) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (endpoint, id) DO UPDATE SET record = excluded.record",
            params![name.as_str(), replica.id.as_str(), replica.version.0, json(replica)?],
        ),
        Change::ForgetReplica(name, id) => connection.execute(
            "DELETE FROM replicas WHERE endpoint = ?1 AND id = ?2",
            params![name.as_str(), id.as_str()],
        ),
    };
    changed.map(drop).map_err(failed("write to"))
}

fn load(connection: &mut Connection) -> Result<Desired, StoreError> {
    let mut desired = Desired::default();
    for (name, record) in rows::<EndpointRecord>(connection, "SELECT name, record FROM endpoints")? {
        desired.endpoints.insert(name, Endpoint { record, ..Endpoint::default() });
    }
    for (name, record) in rows::<VersionRecord>(connection, "SELECT endpoint, record FROM versions")? {
        if let Some(endpoint) = desired.endpoints.get_mut(&name) {
            endpoint.versions.insert(record.version.number, record);
        }
    }
    for (name, replica) in rows::<Replica>(connection, "SELECT endpoint, record FROM replicas")? {
        if let Some(endpoint) = desired.endpoints.get_mut(&name) {
            endpoint.replicas.insert(replica.id.clone(), replica);
        }
    }
    Ok(desired)
}

fn rows<T: DeserializeOwned>(
    connection: &Connection,
    query: &str,
) -> Result<Vec<(EndpointName, T)>, StoreError> {
    let mut statement = connection.prepare(query).map_err(failed("read"))?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .map_err(failed("read"))?;
    rows.map(|row| {
        let (name, record) = row.map_err(failed("read"))?;
        Ok((EndpointName::new(name)?, serde_json::from_str(&record)?))
    })
    .collect()
}

fn json(record: &impl Serialize) -> Result<String, StoreError> {
    Ok(serde_json::to_string(record)?)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

//! The ledger's store, with calls that fail before or after they take effect, and calls at which the engine dies.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::control::{Control, LastCall};
use super::world::World;

/// The shared store as one engine reaches it.
#[derive(Debug)]
pub struct ShakyStore {
    pub inner: Arc<InMemory>,
    pub control: Arc<Control>,
    pub world: Arc<Mutex<World>>,
}

impl ShakyStore {
    async fn read_may_fail(&self) -> Result<()> {
        if self.control.count().is_some() {
            self.control.die().await;
        }
        if self.fails() { Err(unavailable()) } else { Ok(()) }
    }

    fn fails(&self) -> bool {
        let mut world = self.world.lock().unwrap();
        let chance = world.knobs.ledger_errors_permille;
        world.faulty() && world.random.permille(chance)
    }
}

fn unavailable() -> Error {
    Error::Generic { store: "simulated", source: "simulated failure".into() }
}

impl fmt::Display for ShakyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("simulated store")
    }
}

#[async_trait]
impl ObjectStore for ShakyStore {
    async fn put_opts(&self, path: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.control.count() {
            Some(LastCall::Lost) => self.control.die().await,
            Some(_) => {
                let _unheard = self.inner.put_opts(path, bytes, options).await;
                self.control.die().await
            }
            None if self.fails() => Err(unavailable()),
            None => {
                let result = self.inner.put_opts(path, bytes, options).await;
                if self.fails() { Err(unavailable()) } else { result }
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.read_may_fail().await?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read_may_fail().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

//! Shared memory: store, read, list, delete.

use crate::core::{Action, MemoryWrite, text_change};
use crate::error::{Error, Kind};
use crate::model::limits;
use crate::model::{MemoryEntry, MemoryKey, MemoryPut, Page, PageRequest, Subject};
use crate::store;

use super::Workstream;

impl Workstream {
    /// Stores a value. With `expected`, only if that is the version that stands; 0 is for an entry
    /// that does not exist.
    ///
    /// # Errors
    ///
    /// When the name or value is not acceptable or the version is another.
    pub async fn memory_put(
        &self,
        author: &str,
        key: &MemoryKey,
        put: MemoryPut,
        expected: Option<u64>,
    ) -> Result<MemoryEntry, Error> {
        limits::check_author(author)?;
        limits::check_memory_key(key)?;
        limits::check_memory_put(&put)?;
        let (author, key) = (author.to_owned(), key.clone());
        self.inner
            .store
            .write(move |batch| {
                let entry = store::memory(batch.connection(), &key)?;
                check_version(&key, entry.as_ref(), expected)?;
                let writes = writes(entry.as_ref(), &put);
                match entry {
                    Some(entry) if writes.is_empty() => Ok(entry),
                    _ => batch.write_memory(&author, Action::Memory { key, writes }),
                }
            })
            .await
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub async fn memory_get(&self, key: &MemoryKey) -> Result<MemoryEntry, Error> {
        let key = key.clone();
        self.inner
            .store
            .read(move |connection| {
                let entry = store::memory(connection, &key)?;
                entry.ok_or_else(|| store::not_found(&Subject::Memory(key)))
            })
            .await
    }

    /// Lists entries by scope and key: those of a scope, or all.
    ///
    /// # Errors
    ///
    /// When the cursor is not of this list.
    pub async fn memory_list(
        &self,
        scope: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<MemoryEntry>, Error> {
        let scope = scope.map(str::to_owned);
        self.inner
            .store
            .read(move |connection| store::memory_page(connection, scope.as_deref(), &page))
            .await
    }

    /// Deletes a value.
    ///
    /// # Errors
    ///
    /// As [`memory_put`](Self::memory_put), or when it does not exist.
    pub async fn memory_delete(
        &self,
        author: &str,
        key: &MemoryKey,
        expected: Option<u64>,
    ) -> Result<(), Error> {
        limits::check_author(author)?;
        let (author, key) = (author.to_owned(), key.clone());
        self.inner
            .store
            .write(move |batch| {
                let entry = store::memory(batch.connection(), &key)?;
                if entry.is_none() {
                    return Err(store::not_found(&Subject::Memory(key)));
                }
                check_version(&key, entry.as_ref(), expected)?;
                batch.write_memory(&author, Action::DeleteMemory { key }).map(drop)
            })
            .await
    }
}

fn check_version(
    key: &MemoryKey,
    entry: Option<&MemoryEntry>,
    expected: Option<u64>,
) -> Result<(), Error> {
    let version = entry.map_or(0, |entry| entry.version);
    match expected {
        Some(expected) if expected != version => {
            Err(Kind::Stale { subject: format!("memory entry {key}"), version }.into())
        }
        _ => Ok(()),
    }
}

pub(crate) fn writes(entry: Option<&MemoryEntry>, put: &MemoryPut) -> Vec<MemoryWrite> {
    let mut writes = Vec::new();
    match entry {
        None => writes.push(MemoryWrite::Value(put.value.clone())),
        Some(entry) => {
            let change = text_change(&entry.value, &put.value, put.base.as_deref());
            if let Some((value, is_lossy)) = change {
                writes.push(MemoryWrite::Value(value));
                if is_lossy {
                    writes.push(MemoryWrite::Keep(entry.value.clone()));
                }
            }
        }
    }
    if let Some(format) = &put.format
        && entry.is_none_or(|entry| entry.format != *format)
    {
        writes.push(MemoryWrite::Format(format.clone()));
    }
    writes
}

// SPDX-License-Identifier: GPL-2.0

//! `services/`: services are made and unmade here, by name.

use super::{
    definition::{
        self,
        Definition, //
    },
    parse::refuse, //
};
use crate::{
    kapi::kobject::{
        AsKobject,
        Attribute,
        Directory,
        Parent, //
    },
    node::Node,
    takeover, //
};
use core::mem;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The longest name of a service, in bytes.
const MAX_NAME: usize = 31;
/// The most services that a node has.
const MAX_SERVICES: usize = 64;

/// The files.
pub(super) const ATTRIBUTES: &[Attribute<Services>] = &[
    // When it fails it may have made one already.
    Attribute::<Services>::wo(c"create", |directory, text| {
        directory.create(directory, text)
    })
    .removing_directories(),
    Attribute::<Services>::wo(c"remove", |directory, text| directory.remove(text))
        .removing_directories(),
];

/// The services of a node, running or not.
#[pin_data]
pub(crate) struct Services {
    node: Arc<Node>,
    /// Protects the list. Directories are removed without it, but for new ones: that waits for those who
    /// use their files.
    #[pin]
    list: Mutex<List>,
}

struct List {
    entries: KVec<Entry>,
    /// The namespace ends: nothing new may begin.
    closed: bool,
}

/// One service.
struct Entry {
    definition: Arc<Definition>,
    /// [`None`] while they are being removed: the name is taken until that is done.
    directories: Option<Directories>,
}

/// The directories of a service, each before the one it is in.
struct Directories {
    _takeover: Pin<KBox<Directory<Definition>>>,
    _files: Pin<KBox<Directory<Definition>>>,
    _service: Stopping,
}

/// A definition whose service ends with it. Behind its directories: once the files are gone nobody can
/// start it again.
struct Stopping(Arc<Definition>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Services {
    /// Creates an empty list.
    pub(super) fn new(node: &Arc<Node>) -> Result<Arc<Self>> {
        let node = node.clone();
        Arc::pin_init(
            pin_init!(Self {
                node,
                list <- new_mutex!(
                    List {
                        entries: KVec::new(),
                        closed: false,
                    },
                    "Services::list"
                ),
            }),
            GFP_KERNEL,
        )
    }

    fn create(&self, directory: &dyn AsKobject, text: &str) -> Result {
        if !is_name(text) {
            return Err(refuse(
                "create",
                text,
                "not 1 to 31 of a-z 0-9 _ -, or taken",
                EINVAL,
            ));
        }
        let name = CString::try_from_fmt(fmt!("{text}"))?;
        let mut list = self.list.lock();
        if list.closed {
            return Err(ENODEV);
        }
        if let Some(entry) = list.entries.iter().find(|e| *e.definition.name == *name) {
            return Err(match entry.directories {
                Some(_) => refuse("create", text, "there is one of this name", EEXIST),
                None => refuse("create", text, "one of this name is being removed", EBUSY),
            });
        }
        if list.entries.len() >= MAX_SERVICES {
            return Err(refuse("create", text, "there are too many", ENOSPC));
        }
        self.node.desk.open(&self.node)?;
        let definition = Definition::new(&self.node, name)?;
        let files = Directory::new(
            Parent::Below(directory),
            &definition.name,
            definition.clone(),
            definition::ATTRIBUTES,
        )?;
        let takeover = Directory::new(
            Parent::Below(&*files),
            c"takeover",
            definition.clone(),
            takeover::REPORT_ATTRIBUTES,
        )?;
        let entry = Entry {
            definition: definition.clone(),
            directories: Some(Directories {
                _takeover: takeover,
                _files: files,
                _service: Stopping(definition),
            }),
        };
        list.entries.push(entry, GFP_KERNEL)?;
        Ok(())
    }

    fn remove(&self, text: &str) -> Result {
        let mut list = self.list.lock();
        let found = list
            .entries
            .iter_mut()
            .find(|e| e.definition.name.to_bytes() == text.as_bytes());
        let Some(entry) = found else {
            return Err(refuse("remove", text, "there is none of this name", ENOENT));
        };
        if entry.definition.service().is_some() {
            return Err(refuse("remove", text, "its role is not off", EBUSY));
        }
        let Some(directories) = entry.directories.take() else {
            return Err(refuse("remove", text, "it is being removed", EBUSY));
        };
        let definition = entry.definition.clone();
        drop(list);
        drop(directories);
        let mut list = self.list.lock();
        list.entries
            .retain(|e| !Arc::ptr_eq(&e.definition, &definition));
        Ok(())
    }

    /// Stops and removes all services. May sleep.
    pub(super) fn remove_all(&self) {
        let mut list = self.list.lock();
        list.closed = true;
        let all = mem::take(&mut list.entries);
        drop(list);
        for entry in &all {
            entry.definition.stop();
        }
    }
}

fn is_name(text: &str) -> bool {
    if matches!(text, "create" | "remove") {
        return false;
    }
    let fits = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits)
}

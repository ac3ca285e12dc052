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
use core::{
    mem,
    ops::Deref, //
};
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
    Attribute::wo(c"create", |directory, text| {
        directory.create(directory, text)
    }),
    Attribute::<Services>::wo(c"remove", |directory, text| directory.remove(text))
        .removing_directories(),
];

/// The services of a node, running or not.
#[pin_data]
pub(crate) struct Services {
    node: Arc<Node>,
    /// Protects the list. Entries are not dropped under it: that waits for those who use their
    /// files.
    #[pin]
    list: Mutex<List>,
}

struct List {
    entries: KVec<Entry>,
    /// The namespace ends: nothing new may begin.
    closed: bool,
}

/// One service: its directories, each before the one it is in.
struct Entry {
    _takeover: Pin<KBox<Directory<Definition>>>,
    _files: Pin<KBox<Directory<Definition>>>,
    definition: Stopping,
}

/// A definition whose service ends with it. As the last one of an entry: once the files are gone
/// nobody can start it again.
struct Stopping(Arc<Definition>);

impl Deref for Stopping {
    type Target = Definition;

    fn deref(&self) -> &Definition {
        &self.0
    }
}

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
        if list
            .entries
            .iter()
            .any(|entry| *entry.definition.name == *name)
        {
            return Err(refuse("create", text, "there is one of this name", EEXIST));
        }
        if list.entries.len() >= MAX_SERVICES {
            return Err(refuse("create", text, "there are too many", ENOSPC));
        }
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
            _takeover: takeover,
            _files: files,
            definition: Stopping(definition),
        };
        list.entries.push(entry, GFP_KERNEL)?;
        Ok(())
    }

    fn remove(&self, text: &str) -> Result {
        let mut list = self.list.lock();
        let found = list
            .entries
            .iter()
            .position(|e| e.definition.name.to_bytes() == text.as_bytes());
        let Some(at) = found else {
            return Err(refuse("remove", text, "there is none of this name", ENOENT));
        };
        if list
            .entries
            .get(at)
            .is_some_and(|e| e.definition.service().is_some())
        {
            return Err(refuse("remove", text, "its role is not off", EBUSY));
        }
        let _drop_outside_lock = list.entries.remove(at).map_err(|_| ENOENT)?;
        drop(list);
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

// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs.
//!
//! A directory is a kobject with a value behind it, and one file for each of the value's
//! [`Attribute`]s. Not for kobjects of others, nor for binary or large files.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::{
    bindings,
    kapi::{
        net::namespace::Net,
        print::warn_ratelimited, //
    },
};
use core::{
    fmt::Write,
    ops::Deref,
    ptr, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::{
        CStr,
        Formatter, //
    },
    sync::{
        Arc,
        Completion, //
    },
    types::Opaque, //
};

/// Prints the value of a file, without the newline.
pub(crate) type Show<T> = fn(&T, &mut dyn Write) -> core::fmt::Result;

/// Takes what was written to a file of the directory, without white space around it.
pub(crate) type Store<T> = fn(&Directory<T>, &str) -> Result;

/// A file of a directory. Its functions run in process context and may sleep.
pub(crate) struct Attribute<T: Send + Sync + 'static> {
    name: &'static CStr,
    removes: bool,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
}

impl<T: Send + Sync> Attribute<T> {
    /// A file that can be read.
    pub(crate) const fn ro(name: &'static CStr, show: Show<T>) -> Self {
        Self {
            name,
            removes: false,
            show: Some(show),
            store: None,
        }
    }

    /// A file that can be written.
    pub(crate) const fn wo(name: &'static CStr, store: Store<T>) -> Self {
        Self {
            name,
            removes: false,
            show: None,
            store: Some(store),
        }
    }

    /// The same file, but that writing to it removes directories: that waits for those who use the
    /// files in them, which lockdep has to tell from using this one.
    pub(crate) const fn removing_directories(self) -> Self {
        Self {
            removes: true,
            name: self.name,
            show: self.show,
            store: self.store,
        }
    }

    /// A file that can be read and written.
    pub(crate) const fn rw(name: &'static CStr, show: Show<T>, store: Store<T>) -> Self {
        Self {
            name,
            removes: false,
            show: Some(show),
            store: Some(store),
        }
    }

    fn mode(&self) -> u16 {
        let read = if self.show.is_some() { 0o444 } else { 0 };
        let write = if self.store.is_some() { 0o200 } else { 0 };
        read | write
    }
}

/// A file as sysfs knows it.
#[repr(C)]
struct File<T: Send + Sync + 'static> {
    raw: bindings::attribute,
    attribute: &'static Attribute<T>,
}

/// Where a directory is put.
pub(crate) enum Parent<'a> {
    /// Below `/sys/kernel`; what is put below this directory in turn is seen in one net namespace
    /// only.
    Kernel,
    /// Below a directory made with [`Parent::Kernel`], to be seen in one net namespace.
    Namespace(&'a dyn AsKobject, &'a Net),
    /// Below any other directory.
    Below(&'a dyn AsKobject),
}

/// Something with a kobject.
///
/// # Safety
///
/// What [`Self::as_kobject`] returns was initialised and added, and is so for as long as `self` is there.
pub(crate) unsafe trait AsKobject {
    /// Returns the kobject.
    fn as_kobject(&self) -> *mut bindings::kobject;
}

/// A directory; dropping it removes it, waiting for all who are using its files.
///
/// # Invariants
///
/// `kobj` is initialised and added, and `files` has not moved since.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(crate) struct Directory<T: Send + Sync + 'static> {
    #[pin]
    kobj: Opaque<bindings::kobject>,
    net: Option<Net>,
    data: Arc<T>,
    files: KVec<File<T>>,
    #[pin]
    released: Completion,
}

// SAFETY: A kobject may be used from any thread, and so may `data`; `files` is only read.
unsafe impl<T: Send + Sync + 'static> Send for Directory<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync + 'static> Sync for Directory<T> {}

impl<T: Send + Sync + 'static> Directory<T> {
    const SYSFS_OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show_callback),
        store: Some(Self::store_callback),
    };

    const TYPE: bindings::kobj_type = bindings::kobj_type {
        release: Some(Self::release_callback),
        sysfs_ops: &Self::SYSFS_OPS,
        default_groups: ptr::null_mut(),
        child_ns_type: None,
        // Called whenever the directory above is of `PARENT_TYPE`, also if it should be of no namespace.
        namespace: Some(Self::namespace_callback),
        get_ownership: None,
    };

    /// The type of a directory whose subdirectories belong to one net namespace each.
    const PARENT_TYPE: bindings::kobj_type = bindings::kobj_type {
        child_ns_type: Some(child_ns_type_callback),
        ..Self::TYPE
    };

    const TYPES: &'static [bindings::kobj_type; 2] = &[Self::TYPE, Self::PARENT_TYPE];

    /// Creates a directory with a file for each of `attributes`. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of this name, `EINVAL` if it had to be of a net namespace there, or `ENOMEM`.
    pub(crate) fn new(
        parent: Parent<'_>,
        name: &CStr,
        data: Arc<T>,
        attributes: &'static [Attribute<T>],
    ) -> Result<Pin<KBox<Self>>> {
        let mut files = KVec::with_capacity(attributes.len(), GFP_KERNEL)?;
        for attribute in attributes {
            // With lockdep it has a lock class, too.
            #[allow(clippy::needless_update)]
            let mut raw = bindings::attribute {
                name: attribute.name.as_char_ptr(),
                mode: attribute.mode(),
                ..Default::default()
            };
            // SAFETY: The attribute is valid.
            unsafe { bindings::sysfs_attr_init(&mut raw, attribute.removes) };
            let file = File { raw, attribute };
            files.push(file, GFP_KERNEL)?;
        }
        let [plain, with_namespaces] = Self::TYPES;
        let (ktype, above, net) = match parent {
            Parent::Kernel => {
                // SAFETY: It is set at boot and never changes.
                let above = unsafe { bindings::kernel_kobj };
                (with_namespaces, above, None)
            }
            Parent::Namespace(above, net) => (plain, above.as_kobject(), Some(net.clone())),
            Parent::Below(above) => (plain, above.as_kobject(), None),
        };
        let this = KBox::pin_init(
            try_pin_init!(Self {
                kobj: Opaque::zeroed(),
                net,
                data,
                files,
                released <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        this.add(ktype, above, name)?;
        Ok(this)
    }

    /// Makes the directory and its files; on failure, dropping `self` undoes what was done.
    fn add(
        &self,
        ktype: &'static bindings::kobj_type,
        above: *mut bindings::kobject,
        name: &CStr,
    ) -> Result {
        let kobj = self.kobj.get();
        // SAFETY: `kobj` is zeroed and stays in place until it is released; the parent is valid;
        // the format prints one C string.
        to_result(unsafe {
            bindings::kobject_init_and_add(
                kobj,
                ktype,
                above,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        for file in &self.files {
            // SAFETY: `kobj` was added; the file stays in place until `drop` has removed it.
            to_result(unsafe { bindings::sysfs_create_file_ns(kobj, &file.raw, ptr::null()) })?;
        }
        Ok(())
    }

    /// # Safety
    ///
    /// `kobj` is the kobject of a `Directory<T>` that is there for `'a`.
    unsafe fn from_kobject<'a>(kobj: *const bindings::kobject) -> &'a Self {
        // CAST: `kobj` is the first field of the `repr(C)` struct.
        // SAFETY: By the function requirements.
        unsafe { &*kobj.cast::<Self>() }
    }

    /// # Safety
    ///
    /// Only called by sysfs, for files of a `Directory<T>`, which sysfs keeps meanwhile.
    unsafe extern "C" fn show_callback(
        kobj: *mut bindings::kobject,
        raw: *mut bindings::attribute,
        buffer: *mut c_char,
    ) -> isize {
        // SAFETY: By the function requirements.
        let this = unsafe { Self::from_kobject(kobj) };
        // CAST: `raw` is the first field of the `repr(C)` struct.
        // SAFETY: By the function requirements, `raw` is one of `this.files`.
        let file = unsafe { &*raw.cast::<File<T>>() };
        // SAFETY: sysfs gives a page to write to.
        let page = unsafe { core::slice::from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE) };
        from_result(|| {
            let show = file.attribute.show.ok_or(EIO)?;
            let mut out = Formatter::new(page);
            show(&this.data, &mut out).map_err(|_| EOVERFLOW)?;
            out.write_char('\n').map_err(|_| EOVERFLOW)?;
            Ok(isize::try_from(out.bytes_written())?)
        })
    }

    /// # Safety
    ///
    /// Only called by sysfs, for files of a `Directory<T>`, which sysfs keeps meanwhile.
    unsafe extern "C" fn store_callback(
        kobj: *mut bindings::kobject,
        raw: *mut bindings::attribute,
        buffer: *const c_char,
        len: usize,
    ) -> isize {
        // SAFETY: By the function requirements.
        let this = unsafe { Self::from_kobject(kobj) };
        // CAST: `raw` is the first field of the `repr(C)` struct.
        // SAFETY: By the function requirements, `raw` is one of `this.files`.
        let file = unsafe { &*raw.cast::<File<T>>() };
        // SAFETY: sysfs gives `len` bytes to read.
        let bytes = unsafe { core::slice::from_raw_parts(buffer.cast::<u8>(), len) };
        from_result(|| {
            let store = file.attribute.store.ok_or(EIO)?;
            let text = core::str::from_utf8(bytes).map_err(|_| {
                warn_ratelimited!("{}: what is not text was refused\n", file.attribute.name);
                EINVAL
            })?;
            store(this, text.trim_ascii())?;
            Ok(isize::try_from(len)?)
        })
    }

    /// # Safety
    ///
    /// Only called by the kobject, when its last reference is gone.
    unsafe extern "C" fn release_callback(kobj: *mut bindings::kobject) {
        // SAFETY: `drop` waits for the completion before the directory goes.
        unsafe { Self::from_kobject(kobj) }.released.complete_all();
    }

    /// # Safety
    ///
    /// Only called by sysfs, for a `Directory<T>`.
    unsafe extern "C" fn namespace_callback(
        kobj: *const bindings::kobject,
    ) -> *const bindings::ns_common {
        // SAFETY: By the function requirements.
        let this = unsafe { Self::from_kobject(kobj) };
        match &this.net {
            // SAFETY: The namespace is there for as long as `net`.
            Some(net) => unsafe { bindings::to_ns_common(net.as_raw()) },
            None => ptr::null(),
        }
    }
}

/// # Safety
///
/// Always safe to call.
unsafe extern "C" fn child_ns_type_callback(
    _kobj: *const bindings::kobject,
) -> *const bindings::kobj_ns_type_operations {
    &raw const bindings::net_ns_type_operations
}

impl<T: Send + Sync + 'static> Deref for Directory<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.data
    }
}

// SAFETY: By the type invariants; only `drop` removes it.
unsafe impl<T: Send + Sync + 'static> AsKobject for Directory<T> {
    fn as_kobject(&self) -> *mut bindings::kobject {
        self.kobj.get()
    }
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for Directory<T> {
    fn drop(self: Pin<&mut Self>) {
        let kobj = self.kobj.get();
        // SAFETY: `kobj` was initialised, also when it could not be added. Deleting it waits for
        // those who are in `show` or `store`.
        unsafe {
            bindings::kobject_del(kobj);
            bindings::kobject_put(kobj);
        }
        // Others may hold references for a while longer.
        self.released.wait_for_completion();
    }
}

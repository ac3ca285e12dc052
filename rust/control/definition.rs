// SPDX-License-Identifier: GPL-2.0

//! `services/NAME/`: what a service is, and what this node is to be for it.

use super::parse::{
    self,
    refuse, //
};
use crate::{
    events,
    kapi::{
        kobject::Attribute,
        net::netdevice, //
    },
    node::Node,
    service::{
        self,
        hooks::Hooks,
        ownership::{
            Role,
            State, //
        },
        Service,
        Tuning,
        ON_PEER_LOSS_DEGRADE,
        ON_PEER_LOSS_STALL,
        SAFE_POINTS_REQUEST,
        SAFE_POINTS_WHOLE, //
    },
    wire::key::{
        Addr,
        Endpoint, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc,
        Mutex, //
    }, //
};

/// The longest name of a device, in bytes.
const MAX_DEVICE: usize = 15;

macro_rules! tuning {
    ($name:ident, $range:expr) => {
        Attribute::rw(
            kernel::c_str!(stringify!($name)),
            |d, out| write!(out, "{}", d.tuning.$name.load(Relaxed)),
            |d, text| {
                let value = parse::number(stringify!($name), text, $range)?;
                d.tuning.$name.store(u32::try_from(value)?, Relaxed);
                Ok(())
            },
        )
    };
}

/// The files.
pub(super) const ATTRIBUTES: &[Attribute<Definition>] = &[
    Attribute::rw(
        c"address",
        |d, out| parse::show_address(d.inner.lock().address, out),
        |d, text| {
            let addr = parse::address("address", text)?;
            d.change("address", text, |inner| inner.address = Some(addr))
        },
    ),
    Attribute::rw(
        c"port",
        |d, out| match d.inner.lock().port {
            0 => Ok(()),
            port => write!(out, "{port}"),
        },
        |d, text| {
            let port = u16::try_from(parse::number("port", text, 1..=65535)?)?;
            d.change("port", text, |inner| inner.port = port)
        },
    ),
    Attribute::rw(
        c"device",
        |d, out| match &d.inner.lock().device {
            Some(device) => out.write_fmt(fmt!("{}", &**device)),
            None => Ok(()),
        },
        |d, text| d.set_device(text),
    ),
    tuning!(hold_timeout_ms, 100..=600_000),
    tuning!(commit_timeout_ms, 100..=60_000),
    Attribute::rw(
        c"safe_points",
        |d, out| {
            out.write_str(match d.tuning.safe_points.load(Relaxed) {
                SAFE_POINTS_REQUEST => "request",
                _ => "whole",
            })
        },
        |d, text| {
            let value = match text {
                "whole" => SAFE_POINTS_WHOLE,
                "request" => SAFE_POINTS_REQUEST,
                _ => return Err(refuse("safe_points", text, "not whole or request", EINVAL)),
            };
            d.tuning.safe_points.store(value, Relaxed);
            Ok(())
        },
    ),
    Attribute::rw(
        c"on_peer_loss",
        |d, out| {
            out.write_str(match d.tuning.on_peer_loss.load(Relaxed) {
                ON_PEER_LOSS_STALL => "stall",
                _ => "degrade",
            })
        },
        |d, text| {
            let value = match text {
                "degrade" => ON_PEER_LOSS_DEGRADE,
                "stall" => ON_PEER_LOSS_STALL,
                _ => return Err(refuse("on_peer_loss", text, "not degrade or stall", EINVAL)),
            };
            d.tuning.on_peer_loss.store(value, Relaxed);
            if let Some(service) = d.service().filter(|s| !s.stalls()) {
                service.stop_stalling();
            }
            Ok(())
        },
    ),
    Attribute::rw(
        c"role",
        |d, out| out.write_str(d.role()),
        |d, text| d.set_role(text),
    ),
    Attribute::ro(c"state", |d, out| {
        out.write_str(match d.service().map(|s| s.state().0) {
            None => "off",
            Some(State::Standby) => "standby",
            Some(State::Probing) => "probing",
            Some(State::Active) => "active",
            Some(State::Leaving) => "leaving",
        })
    }),
    Attribute::wo(c"handover", |d, text| {
        if text != "1" {
            return Err(refuse("handover", text, "not 1", EINVAL));
        }
        let service = d
            .service()
            .ok_or_else(|| refuse("handover", text, "the role is off", EBUSY))?;
        service
            .hand_over()
            .map_err(|(e, why)| refuse("handover", text, why, e))
    }),
    Attribute::ro(c"epoch", |d, out| {
        write!(out, "{}", d.service().map_or(0, |s| s.state().1))
    }),
    Attribute::ro(c"takeover_ready", |d, out| {
        let ready = d.service().is_some_and(|s| s.is_takeover_ready());
        write!(out, "{}", u8::from(ready))
    }),
    Attribute::ro(c"protected", |d, out| {
        let protected = d.service().is_some_and(|s| s.is_protected());
        write!(out, "{}", u8::from(protected))
    }),
    Attribute::ro(c"connections", |d, out| {
        write!(out, "{}", d.service().map_or(0, |s| s.connections()))
    }),
    Attribute::ro(c"unprotected", |d, out| {
        write!(out, "{}", d.service().map_or(0, |s| s.unprotected()))
    }),
    Attribute::ro(c"peer_differs", |d, out| {
        write!(out, "{}", d.service().map_or(0, |s| s.differences()))
    }),
    Attribute::ro(c"resync_found", |d, out| {
        write!(out, "{}", d.service().map_or(0, |s| s.resync.found()))
    }),
    Attribute::ro(c"resync_done", |d, out| {
        write!(out, "{}", d.service().map_or(0, |s| s.resync.done()))
    }),
];

/// A service as the operator has defined it.
#[pin_data]
pub(crate) struct Definition {
    node: Arc<Node>,
    /// What it is called.
    pub(super) name: CString,
    tuning: Arc<Tuning>,
    /// Protects the definition, and the making and unmaking of the running service.
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    address: Option<Addr>,
    /// 0 before it is set.
    port: u16,
    device: Option<CString>,
    running: Option<Running>,
}

/// A service that runs.
struct Running {
    hooks: Hooks,
    service: Arc<Service>,
    role: Role,
}

/// Ends a service, with the hooks that it has. May sleep.
///
/// What is being restored, or reset, needs them; then nobody else finds the service any more, and then it sees
/// no packets any more.
fn end(service: &Arc<Service>, hooks: Option<Hooks>, node: &Node) {
    service.retire();
    node.remove_service(service);
    drop(hooks);
    service.remove_early_hooks();
    service.stop();
    events::service_off(service);
    node.desk.ring();
}

impl Running {
    /// Ends the service. May sleep.
    fn stop(self, node: &Node) {
        end(&self.service, Some(self.hooks), node);
    }
}

impl Definition {
    /// Creates a definition that says nothing but a name.
    pub(super) fn new(node: &Arc<Node>, name: CString) -> Result<Arc<Self>> {
        let node = node.clone();
        let tuning = Arc::new(Tuning::new(), GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                node,
                name,
                tuning,
                inner <- new_mutex!(
                    Inner {
                        address: None,
                        port: 0,
                        device: None,
                        running: None,
                    },
                    "Definition::inner"
                ),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the service, if it runs.
    pub(crate) fn service(&self) -> Option<Arc<Service>> {
        let inner = self.inner.lock();
        inner
            .running
            .as_ref()
            .map(|running| running.service.clone())
    }

    /// Ends the service, if it runs. May sleep.
    pub(super) fn stop(&self) {
        let running = self.inner.lock().running.take();
        if let Some(running) = running {
            running.stop(&self.node);
        }
    }

    fn change(&self, file: &str, text: &str, change: impl FnOnce(&mut Inner)) -> Result {
        let mut inner = self.inner.lock();
        if inner.running.is_some() {
            return Err(refuse(file, text, "the role is not off", EBUSY));
        }
        change(&mut inner);
        Ok(())
    }

    fn set_device(&self, text: &str) -> Result {
        if text.is_empty() || text.len() > MAX_DEVICE || text.contains('\0') {
            return Err(refuse("device", text, "not a name of a device", EINVAL));
        }
        let name = CString::try_from_fmt(fmt!("{text}"))?;
        if netdevice::index_of(&self.node.net, &name).is_none() {
            return Err(refuse("device", text, "there is no such device", ENODEV));
        }
        self.change("device", text, |inner| inner.device = Some(name))
    }

    fn role(&self) -> &'static str {
        match self
            .inner
            .lock()
            .running
            .as_ref()
            .map(|running| running.role)
        {
            None => "off",
            Some(Role::Primary) => "primary",
            Some(Role::Backup) => "backup",
        }
    }

    fn set_role(&self, text: &str) -> Result {
        let role = match text {
            "off" => None,
            "primary" => Some(Role::Primary),
            "backup" => Some(Role::Backup),
            _ => return Err(refuse("role", text, "not off, primary or backup", EINVAL)),
        };
        let mut inner = self.inner.lock();
        let running = inner.running.as_ref();
        let present = running.map(|running| running.role);
        // Who will have the connections is not known then.
        let is_leaving = running.is_some_and(|r| r.service.state().0 == State::Leaving);
        match (present, role) {
            (present, role) if present == role => Ok(()),
            (Some(_), None) if is_leaving => {
                Err(refuse("role", text, "a handover is going on", EBUSY))
            }
            (Some(_), None) => {
                let running = inner.running.take();
                drop(inner);
                if let Some(running) = running {
                    running.stop(&self.node);
                }
                Ok(())
            }
            (Some(_), Some(_)) => Err(refuse("role", text, "it has to be off in between", EBUSY)),
            (None, role) => {
                if let Some(role) = role {
                    let running = self.start(&inner, role, text)?;
                    inner.running = Some(running);
                    self.node.desk.ring();
                }
                Ok(())
            }
        }
    }

    /// Starts the service. May sleep.
    fn start(&self, inner: &Inner, role: Role, text: &str) -> Result<Running> {
        let (Some(addr), Some(device), 1..) = (inner.address, &inner.device, inner.port) else {
            let why = "address, port and device have to be set";
            return Err(refuse("role", text, why, EINVAL));
        };
        let ifindex = netdevice::index_of(&self.node.net, device)
            .ok_or_else(|| refuse("role", text, "the device is gone", ENODEV))?;
        let definition = service::Definition {
            name: CString::try_from_fmt(fmt!("{}", &*self.name))?,
            device: (CString::try_from_fmt(fmt!("{}", &**device))?, ifindex),
            endpoint: Endpoint {
                addr,
                port: inner.port.into(),
            },
            role,
            tuning: self.tuning.clone(),
        };
        let service = Service::new(&self.node, definition)?;
        self.node.add_service(service.clone()).map_err(|e| {
            let why = match e {
                EADDRINUSE => "another service has this address and port",
                _ => "there is no memory",
            };
            refuse("role", text, why, e)
        })?;
        // Director and receiver may have found the service in between.
        let hooks = Hooks::new(&service).inspect_err(|_| end(&service, None, &self.node))?;
        service.see_to_early_hooks();
        Ok(Running {
            hooks,
            service,
            role,
        })
    }
}

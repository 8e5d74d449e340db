//! Lambda: functions, their versions and aliases, layers, invocations, and what makes them run.
//!
//! Definitions:
//! - a *package* is a zip; its bytes are in the store, and unpacked it lies in a cache ([`code`]);
//! - a *version* is a package with a configuration; `$LATEST` (0) changes, published ones never do. A version's *generation* changes with its
//!   code or configuration: the processes of a generation are interchangeable;
//! - an *asynchronous invocation* is a task ([`queue`]): it is there before its caller is answered, and it ends in the transaction that writes
//!   what follows from it (a destination's delivery, a dead letter);
//! - a *mapping* polls a source for a function ([`mapping`]).
//!
//! What runs functions is [`millpond_functions::Host`]; this module decides what is run, when, and what becomes of the outcome.

mod aliases;
mod archive;
mod code;
mod concurrency;
mod error;
mod event_config;
mod functions;
mod invoke;
mod layers;
mod link;
mod mapping;
mod model;
mod name;
mod policy;
mod queue;
mod record;
mod roles;
mod settings;
mod sql;
mod tags;
mod target;
mod update;
mod versions;

pub use aliases::{Alias, AliasChange};
pub use archive::{PACKED_MAX, UNPACKED_MAX};
pub use code::Source;
pub use error::{LambdaError, Throttle};
pub use event_config::{EventConfig, EventConfigView};
pub use functions::{Found, FunctionView, NewFunction, State};
pub use invoke::{Answer, Call};
pub use layers::{LayerView, NewLayer};
pub use link::LINK_PREFIX;
pub use mapping::{MappingChange, MappingView, NewMapping, Pollers};
pub use model::{Config, ConfigChange, Facts, Layer, Logging, LoggingChange, Tags, Variables, Vpc};
pub use name::{FunctionName, LATEST, Qualifier};
pub use policy::NewPermission;
pub use settings::{AccountSettings, RuntimeManagement};
pub use update::CodeUpdate;

use crate::lake::Lake;
use crate::runtime::Handler;
use crate::runtime::delivery::Targets;
use crate::runtime::source::Sources;
use code::CodeStore;
use concurrency::Slots;
use invoke::Specs;
use millpond_functions::Host;
use millpond_store::Component;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Lambda's tables.
pub const COMPONENT: Component = Component { name: "lambda", migrations: &[include_str!("schema.sql")] };

/// What a listing answers in one page at the most.
const PAGE: usize = 50;

/// How the service is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where unpacked packages are kept.
    pub directory: PathBuf,
    /// The most bytes of them, as far as nobody uses them.
    pub unpacked_bytes_max: u64,
    /// The pauses before the second and the third try of an asynchronous invocation that the function failed, in milliseconds.
    pub retry_delays_ms: [i64; 2],
    /// Invocations at the same time, of all functions together.
    pub concurrency: u32,
    /// Asynchronous invocations under way at the same time.
    pub queue_concurrency: usize,
}

impl Settings {
    /// AWS's bounds and delays; packages in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            unpacked_bytes_max: 4 << 30,
            retry_delays_ms: [60_000, 120_000],
            concurrency: 1_000,
            queue_concurrency: 128,
        }
    }
}

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Lambda {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lake: Lake,
    host: Host,
    code: CodeStore,
    targets: Targets,
    sources: Sources,
    slots: Slots,
    specs: Specs,
    settings: Settings,
    identity: roles::Sessions,
    mappings: tokio::sync::watch::Sender<u64>,
    problems: mapping::Problems,
    stopping: AtomicBool,
    link_key: tokio::sync::OnceCell<Vec<u8>>,
}

impl Lambda {
    /// Lambda over a lake. Functions run in `host`; what follows from an invocation goes to `targets`; mappings poll `sources`.
    pub fn new(
        lake: Lake,
        host: Host,
        targets: Targets,
        sources: Sources,
        identity: roles::Identity,
        settings: Settings,
    ) -> Self {
        let code = CodeStore::new(lake.clone(), settings.directory.clone(), settings.unpacked_bytes_max);
        let inner = Inner {
            code,
            host,
            targets,
            sources,
            slots: Slots::new(settings.concurrency),
            specs: Specs::default(),
            identity: roles::Sessions::new(identity),
            mappings: tokio::sync::watch::Sender::new(0),
            problems: mapping::Problems::default(),
            stopping: AtomicBool::new(false),
            link_key: tokio::sync::OnceCell::new(),
            settings,
            lake,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Who runs asynchronous invocations.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(queue::Runner::new(self.clone()))]
    }

    fn arn(&self, name: &str, qualifier: Option<&Qualifier>) -> String {
        name::arn(&self.inner.lake.place, name, qualifier)
    }

    /// Reads how a caller named a function.
    fn parse(&self, name: &str, qualifier: Option<&str>) -> Result<FunctionName, LambdaError> {
        FunctionName::parse(&self.inner.lake.place, name, qualifier)
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the order of the listing.
    pub items: Vec<T>,
    /// Where more follows: the marker of the next page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than a page has: that one's marker is where the next page begins.
    fn cut(mut items: Vec<T>, limit: usize, marker: impl Fn(&T) -> String) -> Self {
        let next = items.get(limit).map(|item| link::marker(&marker(item)));
        items.truncate(limit);
        Self { items, next }
    }

    fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// How many a page has.
fn page_size(asked: Option<u32>) -> usize {
    asked.map_or(PAGE, |asked| (asked as usize).clamp(1, PAGE))
}

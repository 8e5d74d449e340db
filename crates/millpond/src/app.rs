//! The lake as a running whole: opens the store, builds the services over it, starts what makes it move, and ends it in order.
//!
//! To start: listen (so that a taken port costs nothing), open the store, wire the services, bring the flows to what the configuration says,
//! start workers and dispatcher, serve, and only then say where. To stop: no new requests, no new events, no new tasks; what is under way may
//! end; then the endpoint file goes. A lake that is killed instead goes on where it was at its next start.

use crate::client::Client;
use crate::config::{self, Config, Flow, Tls};
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::flow::{self, FlowManager};
use anyhow::{Context, Result, anyhow};
use millpond_api::admin::Admin;
use millpond_api::caller::{Keys, RootKey};
use millpond_api::router::Router;
use millpond_api::s3::Hosts;
use millpond_api::server::{Server, Shared, Visitor};
use millpond_api::sessions::LakeKeys;
use millpond_core::arn::Place;
use millpond_core::env::{SharedEnv, SystemEnv};
use millpond_core::machine;
use millpond_engine::query::{Engine, EngineConfig};
use millpond_engine::table::TableSource;
use millpond_pg::{Keys as PostgresKeys, Listener as PostgresListener, Settings as PostgresSettings};
use millpond_scripts::Scripts;
use millpond_services::athena::{self, Athena};
use millpond_services::dynamodb::{self, DynamoDb};
use millpond_services::events::{self, Events};
use millpond_services::glue::{self, Glue};
use millpond_services::iam::Iam;
use millpond_services::lake::catalog::{self, LakeTables};
use millpond_services::lake::identity::{self, Identity};
use millpond_services::lake::{Lake, ledger, objects};
use millpond_services::lambda::{self, Lambda};
use millpond_services::logs::Logs;
use millpond_services::runtime::delivery::{Redelivery, Targets};
use millpond_services::runtime::dispatcher::{Dispatcher, Listener};
use millpond_services::runtime::source::Sources;
use millpond_services::runtime::{Handler, Workers};
use millpond_services::s3::{self, S3};
use millpond_services::sns::{self, Sns};
use millpond_services::sqs::{self, Sqs};
use millpond_services::sts::Sts;
use millpond_store::{Component, Store};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Tasks under way may take this long to end when the lake stops; then they are left to the next start.
const TASK_PATIENCE: Duration = Duration::from_secs(10);

/// Connections of scripts that wait to be served.
const VISITORS_WAITING: usize = 64;

/// Bytes that nothing refers to are collected this often.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);

/// What is in the directory besides the database: where queries spill.
const SPILL: &str = "spill";

/// How to start a lake.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its directory, made when missing.
    pub data: PathBuf,
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// What its owner declared.
    pub config: Config,
    /// Whether it says where it is, for other commands to find it.
    pub announce: bool,
}

/// A running lake.
pub struct App {
    lake: Lake,
    endpoint: Endpoint,
    credentials: Credentials,
    announced: bool,
    flows: FlowManager,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    postgres: Option<JoinHandle<()>>,
    collecting: JoinHandle<()>,
    dispatcher: Dispatcher,
    workers: Workers,
    logs: Logs,
    sweeping: Workers,
    functions: Lambda,
    scripts: Scripts,
    pollers: lambda::Pollers,
    sqs: Sqs,
}

/// The tables of all parts, in the order of their making.
pub fn components() -> Vec<Component> {
    vec![
        objects::COMPONENT,
        catalog::COMPONENT,
        ledger::COMPONENT,
        identity::COMPONENT,
        s3::COMPONENT,
        glue::COMPONENT,
        glue::classifier::COMPONENT,
        glue::crawler::COMPONENT,
        glue::job::COMPONENT,
        glue::job::script::COMPONENT,
        glue::job::ITEMS_COMPONENT,
        glue::trigger::COMPONENT,
        athena::COMPONENT,
        athena::DIRECT_COMPONENT,
        events::COMPONENT,
        sns::COMPONENT,
        sqs::COMPONENT,
        lambda::COMPONENT,
        dynamodb::COMPONENT,
        flow::COMPONENT,
    ]
}

/// The services over one lake.
struct Services {
    s3: S3,
    glue: Glue,
    athena: Athena,
    dynamodb: DynamoDb,
    events: Events,
    sns: Sns,
    sqs: Sqs,
    engine: Arc<Engine>,
    tables: Arc<dyn TableSource>,
    logs: Logs,
    lambda: Lambda,
    scripts: Scripts,
    identity: Identity,
    iam: Iam,
    sts: Sts,
}

impl App {
    /// Starts a lake; it answers requests when this returns.
    ///
    /// # Errors
    /// The address is taken, the directory cannot be opened, or a flow cannot be set up.
    pub async fn start(settings: Settings) -> Result<Self> {
        let Settings { data, listen, config, announce } = settings;
        let listener = TcpListener::bind(&listen).await.with_context(|| {
            format!("{listen} cannot be listened at; choose another address with --listen (port 0 takes a free one)")
        })?;
        // Only a lake that serves: a command that opens the directory for a moment needs no SQL clients.
        let postgres = match config.postgres.as_ref().filter(|_| announce) {
            Some(settings) => Some(listen_for_postgres(settings).await?),
            None => None,
        };
        let env: SharedEnv = Arc::new(SystemEnv);
        let store = open(data.clone(), env.clone()).await?;
        let credentials = Credentials::read_or_create(&data, env.as_ref())?;
        let place = Arc::new(place(&config));
        let endpoint = Endpoint {
            url: url(&listener)?,
            pid: std::process::id(),
            region: place.region.clone(),
            account: place.account.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            postgres: postgres.as_ref().map(|listener| address(listener).map(|address| address.to_string())).transpose()?,
        };
        let lake = Lake { store, place: place.clone() };
        let identity = Identity::open(&lake, &credentials.secret_access_key).await?;
        let (door, visitors) = mpsc::channel(VISITORS_WAITING);
        let services = Services::over(&lake, &config, &endpoint.url, door, identity)?;
        services.athena.end_lost_direct().await?;
        let postgres = postgres.map(|listener| services.postgres(&config, listener, &credentials)).transpose()?;
        let router = services.router();
        let flows =
            FlowManager::new(lake.clone(), router.clone(), services.s3.clone(), services.sns.clone(), config.zones.clone());
        flows.apply(&config.flows, config.file.is_some()).await.map_err(|error| anyhow!(error.message))?;

        let root = RootKey::new(&place.account, &credentials.access_key_id, &credentials.secret_access_key);
        let keys: Arc<dyn Keys> = Arc::new(LakeKeys::new(root, services.identity.clone()));
        let hosts = Hosts::new(config.server.domains.iter().map(String::as_str));
        let own = Admin {
            lake: lake.clone(),
            glue: services.glue.clone(),
            events: services.events.clone(),
            sns: services.sns.clone(),
            athena: services.athena.clone(),
            flows: Arc::new(flows.clone()),
            endpoint: endpoint.url.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let server = Server {
            s3: millpond_api::s3::service(services.s3.clone(), keys.clone(), router.authorizer().clone(), hosts),
            router,
            own: Arc::new(own),
            runs: Arc::new(millpond_api::glue::OwnRuns::new(services.glue.clone())),
            iceberg: millpond_api::iceberg_rest::IcebergRest::new(services.glue.clone(), services.sts.clone()),
            keys,
            place,
            env,
            endpoint: endpoint.url.clone(),
            shared: Shared::default(),
        };
        let (logs, sqs) = (services.logs.clone(), services.sqs.clone());
        let sweeping = logs.start_sweeping();
        let scripts = services.scripts.clone();
        let (functions, pollers) = (services.lambda.clone(), lambda::Pollers::start(&services.lambda));
        services.glue.discard_lost_runs().await?;
        let (dispatcher, workers) = services.start(&lake);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(Arc::new(server).serve(listener, visitors, stop.clone()));
        let postgres = postgres.map(|listener| tokio::spawn(listener.serve(stop.clone())));
        let collecting = tokio::spawn(collect(lake.store.clone(), stop.clone()));
        if announce {
            endpoint.write(&data)?;
        }
        let announced = announce;
        Ok(Self {
            lake,
            endpoint,
            credentials,
            announced,
            flows,
            stop,
            serving,
            postgres,
            collecting,
            dispatcher,
            workers,
            logs,
            sweeping,
            functions,
            scripts,
            pollers,
            sqs,
        })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The root's access key.
    pub fn access_key_id(&self) -> &str {
        &self.credentials.access_key_id
    }

    /// A client of it.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn client(&self) -> Result<Client> {
        Client::new(&self.endpoint.url, &self.endpoint.region, self.credentials.clone())
    }

    /// Its flows.
    ///
    /// # Errors
    /// The store's.
    pub async fn flows(&self) -> Result<Vec<Flow>> {
        let all = self.flows.all().await.map_err(|error| anyhow!(error.message))?;
        Ok(all.into_iter().map(|stored| stored.flow).collect())
    }

    /// Ends it: requests under way are answered, tasks under way end or are left to the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        // Receives that wait for messages are answered now.
        self.sqs.close();
        let _ = self.serving.await;
        if let Some(postgres) = self.postgres {
            let _ = postgres.await;
        }
        self.dispatcher.stop().await;
        tokio::join!(self.workers.stop(TASK_PATIENCE), self.pollers.stop(TASK_PATIENCE));
        tokio::join!(self.functions.stop(), self.scripts.stop());
        self.sweeping.stop(TASK_PATIENCE).await;
        self.logs.flush().await;
        let _ = self.collecting.await;
        if self.announced {
            self.endpoint.remove(self.lake.store.directory());
        }
    }
}

/// Opens the store off the async threads: it reads and writes the disk. A new directory is its owner's alone.
async fn open(data: PathBuf, env: SharedEnv) -> Result<Store> {
    let opened = tokio::task::spawn_blocking(move || {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data);
        made.with_context(|| format!("the directory {} cannot be made", data.display()))?;
        anyhow::Ok(Store::open(&data, &components(), env)?)
    });
    opened.await.context("opening the lake failed")?
}

fn place(config: &Config) -> Place {
    let default = Place::default();
    Place {
        account: config.server.account.clone().unwrap_or(default.account),
        region: config.server.region.clone().unwrap_or(default.region),
    }
}

async fn listen_for_postgres(settings: &config::Postgres) -> Result<TcpListener> {
    let listen = &settings.listen;
    TcpListener::bind(listen).await.with_context(|| {
        format!("{listen} cannot be listened at; choose another address as postgres.listen (port 0 takes a free one)")
    })
}

/// The URL by which clients on this machine reach what listens here.
fn url(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", address(listener)?))
}

/// How clients on this machine reach what listens here: an address that means "all of them" is reached by the loopback.
fn address(listener: &TcpListener) -> Result<SocketAddr> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let mut address = listener.local_addr().context("the address is not known")?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

/// The engine's bounds: what the configuration says, else what suits a machine that does other things too.
fn engine_config(config: &Config, directory: &Path, env: SharedEnv) -> EngineConfig {
    let default = EngineConfig::default();
    let limits = &config.limits;
    let whole = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
    let memory_bytes = limits.memory_bytes.map_or(default.memory_bytes, whole);
    EngineConfig {
        memory_bytes,
        statement_memory_bytes: config.athena.query_memory_bytes.map_or(memory_bytes / 4 * 3, whole),
        threads: limits.threads.unwrap_or(default.threads),
        spill_bytes_max: limits.spill_bytes.unwrap_or(default.spill_bytes_max),
        spill_dir: directory.join(SPILL),
        page_cache_bytes: limits.page_cache_bytes.unwrap_or_else(|| machine::memory_bytes() / 16),
        env,
        ..default
    }
}

impl Services {
    /// `door` is where connections from networks of scripts go in.
    fn over(lake: &Lake, config: &Config, endpoint: &str, door: mpsc::Sender<Visitor>, identity: Identity) -> Result<Self> {
        let directory = lake.store.directory();
        let blobs = Arc::new(lake.store.blobs().clone());
        let engine = Arc::new(Engine::new(engine_config(config, directory, lake.store.env().clone()), blobs));
        let logs = Logs::open(directory, lake.place.clone(), lake.store.env().clone())?;
        let glue = Glue::new(lake.clone());
        let tables: Arc<dyn TableSource> = Arc::new(LakeTables::new(lake.clone()));
        let (targets, sources) = (Targets::default(), Sources::default());
        let (iam, sts) = (Iam::new(lake.clone(), identity.clone()), Sts::new(lake.clone(), identity.clone()));
        let lambda = crate::functions::over(lake, config, endpoint, logs.sink(), identity.clone(), &targets, &sources)?;
        let scripts = crate::scripts::over(lake, config, endpoint, door, logs.sink())?;
        let sns = Sns::new(lake.clone(), mail_transport(lake, config)?, endpoint.to_owned(), targets.clone());
        let mut kinds = glue::target_kinds();
        let sqs = Sqs::new(lake.clone());
        kinds.push(Arc::new(sns.clone()));
        kinds.push(Arc::new(sqs.clone()));
        kinds.push(Arc::new(events::BusTarget));
        kinds.extend(logs.target_kinds());
        kinds.push(Lambda::target_kind());
        targets.install(kinds);
        sources.install(vec![Arc::new(sqs.clone())]);
        let dynamodb = DynamoDb::open(lake)?;
        let (queue, timeouts) = config.athena.limits();
        glue.loaders().install(Arc::new(dynamodb::ItemLoads::new(dynamodb.clone(), engine.clone())));
        Ok(Self {
            s3: S3::new(lake.clone(), targets.clone()),
            athena: Athena::new(lake.clone(), engine.clone(), tables.clone()).with_limits(queue, timeouts),
            dynamodb,
            events: Events::new(lake.clone(), targets),
            glue,
            sns,
            sqs,
            engine,
            tables,
            logs,
            lambda,
            scripts,
            identity,
            iam,
            sts,
        })
    }

    /// The listener of PostgreSQL's protocol over these services.
    fn postgres(&self, config: &Config, listener: TcpListener, credentials: &Credentials) -> Result<PostgresListener> {
        let settings = config.postgres.as_ref().expect("its listener was made from them");
        let settings =
            PostgresSettings { connections_max: settings.connections_max, idle: settings.idle, tls: settings.tls.clone() };
        let keys = PostgresKeys {
            root_access_key: credentials.access_key_id.clone(),
            root_secret: credentials.secret_access_key.clone(),
            identity: self.identity.clone(),
        };
        let file = config.file.as_deref().unwrap_or(Path::new(config::FILE)).display();
        PostgresListener::new(listener, settings, self.athena.clone(), self.engine.clone(), self.tables.clone(), keys)
            .map_err(|error| anyhow!("{file}: [postgres] cannot be used: {error}"))
    }

    /// All JSON and Query operations that are implemented.
    fn router(&self) -> Router {
        let mut router = Router::default();
        millpond_api::glue::register(&mut router, &self.glue);
        millpond_api::lambda::register(&mut router, self.lambda.clone());
        millpond_api::logs::register(&mut router, self.logs.clone());
        millpond_api::athena::register(&mut router, self.athena.clone());
        millpond_api::dynamodb::register(&mut router, self.dynamodb.clone());
        millpond_api::events::register(&mut router, self.events.clone());
        millpond_api::sns::register(&mut router, self.sns.clone());
        millpond_api::sqs::register(&mut router, self.sqs.clone());
        millpond_api::iam::register(&mut router, self.iam.clone());
        millpond_api::sts::register(&mut router, self.sts.clone());
        router
    }

    fn start(self, lake: &Lake) -> (Dispatcher, Workers) {
        let targets = self.events.targets().clone();
        let mut handlers: Vec<Arc<dyn Handler>> = vec![self.athena.runner(), Arc::new(Redelivery { targets: targets.clone() })];
        handlers.extend(glue::handlers(&self.glue, &self.engine));
        handlers.push(Arc::new(glue::job::script::ScriptHandler {
            glue: self.glue.clone(),
            scripts: self.scripts,
            identity: self.identity.clone(),
            logs: Arc::new(self.logs.clone()),
        }));
        handlers.push(Arc::new(s3::UploadSweep));
        handlers.push(Arc::new(events::ScheduleHandler { events: self.events.clone() }));
        handlers.extend(self.sns.handlers());
        handlers.extend(self.sqs.handlers());
        handlers.extend(self.logs.handlers());
        handlers.extend(self.lambda.handlers());
        handlers.extend(self.dynamodb.handlers());
        let workers = Workers::start(lake, handlers);
        let listeners: Vec<Arc<dyn Listener>> = vec![Arc::new(events::Rules::new(lake)), Arc::new(s3::Notifier::new(lake))];
        let dispatcher = Dispatcher::start(lake, targets, listeners);
        (dispatcher, workers)
    }
}

fn mail_transport(lake: &Lake, config: &Config) -> Result<Arc<dyn sns::MailTransport>> {
    let Some(smtp) = &config.smtp else {
        return Ok(Arc::new(sns::Mailbox::new(lake.clone())));
    };
    let tls = match smtp.tls {
        Tls::None => sns::SmtpTls::None,
        Tls::StartTls => sns::SmtpTls::StartTls,
        Tls::Tls => sns::SmtpTls::Tls,
    };
    let settings = sns::SmtpSettings {
        host: smtp.host.clone(),
        port: smtp.port,
        from: smtp.from.clone(),
        tls,
        username: smtp.username.clone(),
        password: smtp.password.clone(),
    };
    let file = config.file.as_deref().unwrap_or(Path::new(config::FILE)).display();
    let transport = sns::Smtp::new(settings).map_err(|error| anyhow!("{file}: [smtp] cannot be used: {error}"))?;
    Ok(Arc::new(transport))
}

/// Collects bytes that nothing refers to, at the start and then every hour.
async fn collect(store: Store, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            collected = store.collect(None) => match collected {
                Ok(collected) if collected.bytes > 0 => {
                    tracing::info!(released = collected.released, orphans = collected.orphans, bytes = collected.bytes, "collected");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "bytes that nothing refers to could not be collected; in an hour again"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(COLLECT_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_wire::coverage;
    use std::collections::BTreeSet;

    /// `docs/coverage.md` is what the router says, and nothing that it had is lost. `MILLPOND_UPDATE=1 cargo test` writes it anew.
    #[tokio::test]
    async fn the_coverage_page_is_true_and_never_shrinks() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path().to_owned(), Arc::new(SystemEnv)).await.unwrap();
        let lake = Lake { store, place: Arc::default() };
        let identity = Identity::open(&lake, "secret").await.unwrap();
        let services = Services::over(&lake, &Config::default(), "http://127.0.0.1:4566", mpsc::channel(1).0, identity).unwrap();
        let router = services.router();
        let s3 = millpond_api::s3::IMPLEMENTED.iter().map(|operation| ("s3", *operation));
        let implemented: BTreeSet<(&str, &str)> = router.implemented().chain(s3).collect();
        let page = coverage::markdown(&implemented).unwrap();
        // As cargo says now: a target directory that is kept may hold a test that was built for another clone.
        let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../docs/coverage.md");
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let lost = coverage::lost(&committed, &implemented);
        assert!(lost.is_empty(), "operations that were implemented are no more: {}", lost.join(", "));
        if std::env::var_os("MILLPOND_UPDATE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == page,
            "docs/coverage.md is old: run `MILLPOND_UPDATE=1 cargo test -p millpond coverage` and commit it"
        );
    }
}

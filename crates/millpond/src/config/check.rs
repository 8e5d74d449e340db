//! The meaning of `millpond.toml`: names, addresses and locations that can work.

use super::problem::Problem;
use super::raw::{Names, RawConfig, RawFlow, RawLimits, RawServer, RawSmtp, Size};
use super::table_name;
use super::{Config, Flow, Items, Limits, SMTP_PASSWORD, SMTP_USERNAME, ServerConfig, Smtp, Tls, Zone};
use millpond_services::glue::job::spec::{ITEMS, ITEMS_KEY};
use millpond_services::lake::items::AttributeTypes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use toml::Spanned;

/// Longest name of a flow: the names made of it stay below AWS's 64 characters for rules.
const FLOW_NAME_MAX: usize = 32;

/// Collects faults, so that all are told at once.
#[derive(Default)]
pub(super) struct Faults(Vec<Problem>);

impl Faults {
    fn add<T>(&mut self, at: &Spanned<T>, key: &str, message: impl Into<String>) {
        self.0.push(Problem { span: at.span(), key: key.into(), message: message.into() });
    }

    pub(super) fn take<T, U>(&mut self, at: &Spanned<T>, key: &str, checked: Result<U, String>) -> Option<U> {
        checked.map_err(|message| self.add(at, key, message)).ok()
    }
}

pub(super) fn check(raw: RawConfig, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Problem>> {
    let mut faults = Faults::default();
    let server = server(&mut faults, raw.server);
    let limits = limits(&mut faults, raw.limits);
    let zones = zones(&mut faults, raw.zones);
    let mut flows = Vec::new();
    let (mut names, mut targets) = (BTreeSet::new(), BTreeMap::new());
    for raw in raw.flow {
        let raw = raw.into_inner();
        if !names.insert(raw.name.get_ref().clone()) {
            faults.add(
                &raw.name,
                "flow.name",
                format!("there are two flows named '{}'; give each a name of its own", raw.name.get_ref()),
            );
        }
        // The names of tables of items have case.
        let to = raw.to.get_ref();
        let target = if to.starts_with(ITEMS) { to.clone() } else { to.to_lowercase() };
        if let Some(other) = targets.insert(target, raw.name.get_ref().clone()) {
            let message = format!("the flow '{other}' writes to '{}' too; two flows cannot share a table", raw.to.get_ref());
            faults.add(&raw.to, "flow.to", message);
        }
        flows.extend(flow(&mut faults, raw));
    }
    let smtp = raw.smtp.and_then(|raw| smtp(&mut faults, raw.into_inner(), environment));
    let functions = super::functions::check(&mut faults, raw.functions, bytes);
    let jobs = super::jobs::check(&mut faults, raw.jobs, bytes);
    let athena = super::athena::check(&mut faults, raw.athena, bytes);
    let postgres = raw.postgres.and_then(|raw| super::postgres::check(&mut faults, raw));
    match faults.0.is_empty() {
        true => Ok(Config { file: None, server, limits, zones, flows, smtp, functions, jobs, postgres, athena }),
        false => Err(faults.0),
    }
}

fn server(faults: &mut Faults, raw: RawServer) -> ServerConfig {
    let listen = raw.listen.and_then(|at| faults.take(&at, "server.listen", listen_address(at.get_ref())));
    let account = raw.account.and_then(|at| {
        let good = at.get_ref().len() == 12 && at.get_ref().bytes().all(|byte| byte.is_ascii_digit());
        let message = "an AWS account is twelve digits in quotes, for example \"000000000000\"";
        faults.take(&at, "server.account", good.then(|| at.get_ref().clone()).ok_or(message.into()))
    });
    let region = raw.region.and_then(|at| {
        let text = at.get_ref();
        let good = !text.is_empty()
            && text.len() <= 32
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let message = format!("'{text}' is not a region; write one such as \"us-east-1\"");
        faults.take(&at, "server.region", good.then(|| text.clone()).ok_or(message))
    });
    let domains = raw.domains.into_iter().filter_map(|at| {
        let text = at.get_ref().trim_start_matches("*.").to_lowercase();
        let good = !text.is_empty() && text.split('.').all(is_dns_label);
        let message = format!("'{}' is not a domain; write one such as \"s3.example.com\"", at.get_ref());
        faults.take(&at, "server.domains", good.then_some(text).ok_or(message))
    });
    let domains = domains.collect();
    let data = raw.data.and_then(|at| {
        let message = "is empty; name a directory, or leave it out for ./millpond-data".to_owned();
        faults.take(&at, "server.data", (!at.get_ref().is_empty()).then(|| PathBuf::from(at.get_ref())).ok_or(message))
    });
    ServerConfig { listen, data, account, region, domains }
}

/// An address that can be listened at: `host:port`.
pub fn listen_address(text: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("'{text}' is not an address to listen at ({why}); write for example \"127.0.0.1:4566\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
    port.parse::<u16>().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
    if host.is_empty() {
        return Err(wrong("the host is missing"));
    }
    let found = text.to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    found.then(|| text.to_owned()).ok_or_else(|| wrong("the host is unknown"))
}

fn limits(faults: &mut Faults, raw: RawLimits) -> Limits {
    let memory_bytes = raw.memory.and_then(|at| {
        let checked = bytes(at.get_ref()).and_then(|bytes| match bytes {
            0..0x400_0000 => Err("is less than 64MiB, with which no query can run; give it more".to_owned()),
            _ => Ok(bytes),
        });
        faults.take(&at, "limits.memory", checked)
    });
    let threads = raw.threads.and_then(|at| {
        let message = "must be from 1 to 1024; leave it out for one thread a core".to_owned();
        let good = (1..=1024).contains(at.get_ref());
        faults.take(&at, "limits.threads", good.then_some(*at.get_ref() as usize).ok_or(message))
    });
    let spill_bytes = raw.spill.and_then(|at| faults.take(&at, "limits.spill", bytes(at.get_ref())));
    let page_cache_bytes = raw.page_cache.and_then(|at| faults.take(&at, "limits.page_cache", bytes(at.get_ref())));
    Limits { memory_bytes, threads, spill_bytes, page_cache_bytes }
}

fn bytes(size: &Size) -> Result<u64, String> {
    match size {
        Size::Bytes(bytes) => Ok(*bytes),
        Size::Text(text) => parse_size(text),
    }
}

/// Bytes from a text such as `512MiB`, `2 GB` or `1048576`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => {
            return Err(format!(
                "'{text}' is not a size; write a number and a unit (KiB, MiB, GiB, TiB), for example \"512MiB\""
            ));
        }
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| format!("'{text}' is not a size; write a number and a unit, for example \"512MiB\""))
}

fn zones(faults: &mut Faults, raw: BTreeMap<Spanned<String>, Spanned<String>>) -> Vec<Zone> {
    let mut zones: Vec<(usize, Zone)> = Vec::new();
    for (name, bucket) in raw {
        let checked_name = faults.take(&name, "zones", database_name(name.get_ref()));
        let checked_bucket = faults.take(&bucket, &format!("zones.{}", name.get_ref()), bucket_name(bucket.get_ref()));
        if let (Some(checked_name), Some(checked_bucket)) = (checked_name, checked_bucket) {
            zones.push((name.span().start, Zone { name: checked_name, bucket: checked_bucket }));
        }
    }
    zones.sort_by_key(|(at, _)| *at);
    zones.into_iter().map(|(_, zone)| zone).collect()
}

fn flow(faults: &mut Faults, raw: RawFlow) -> Option<Flow> {
    let name = faults.take(&raw.name, "flow.name", flow_name(raw.name.get_ref()));
    let from = faults.take(&raw.from, "flow.from", location(raw.from.get_ref()));
    let to = faults.take(&raw.to, "flow.to", target(raw.to.get_ref()));
    let items = items(faults, &raw);
    let place = match &raw.location {
        None => Some(None),
        Some(at) => faults
            .take(at, "flow.location", location(at.get_ref()))
            .map(|(bucket, prefix)| Some(format!("s3://{bucket}/{prefix}"))),
    };
    if let (Some((bucket, prefix)), Some(Some(place))) = (&from, &place) {
        let source = format!("s3://{bucket}/{prefix}");
        if place.starts_with(&source) || source.starts_with(place.as_str()) {
            let at = raw.location.as_ref().unwrap_or(&raw.from);
            faults.add(
                at,
                "flow.location",
                "lies within `from` (or the other way round): the flow would read its own output; use another folder",
            );
        }
    }
    let mut partition_by: Vec<String> = Vec::new();
    for at in &raw.partition_by {
        let column = at.get_ref().to_lowercase();
        let column = faults.take(
            at,
            "flow.partition_by",
            match () {
                () if column.is_empty() || column.contains(',') => Err("must be a column's name".to_owned()),
                () if partition_by.contains(&column) => Err(format!("names '{column}' twice")),
                () => Ok(column),
            },
        );
        partition_by.extend(column);
    }
    let mut notify = Vec::new();
    for at in &raw.notify {
        notify.extend(faults.take(at, "flow.notify", mail_address(at.get_ref())));
    }
    let sql = match &raw.sql {
        Some(at) if at.get_ref().trim().is_empty() => {
            faults.add(at, "flow.sql", "is empty; write a SELECT over `input`, or leave it out");
            None
        }
        sql => sql.as_ref().map(|at| at.get_ref().trim().trim_end_matches(';').to_owned()),
    };
    let suffix = raw.suffix.map(Spanned::into_inner).filter(|suffix| !suffix.is_empty());
    let exclude = raw.exclude.into_iter().map(Spanned::into_inner).collect();
    let ((bucket, prefix), to, items) = (from?, to?, items?);
    let (database, table) = match to {
        Target::Catalog(database, table) => (database, table),
        // The quarantine is with the incoming files' own table.
        Target::Items(table) => (table_name(&bucket), table_name(&table)),
    };
    let marks = items.is_some();
    Some(Flow {
        name: name?,
        bucket,
        prefix,
        suffix,
        exclude,
        items,
        database,
        table,
        location: place?,
        partition_by,
        sql,
        notify,
        ingestion_timestamp: raw.ingestion_timestamp.unwrap_or(marks),
        source_file: raw.source_file.unwrap_or(marks),
    })
}

fn flow_name(text: &str) -> Result<String, String> {
    let good = (1..=FLOW_NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-');
    let wrong = format!(
        "'{text}' cannot name a flow; use 1 to {FLOW_NAME_MAX} lower-case letters, digits and hyphens, for example \"flights\""
    );
    good.then(|| text.to_owned()).ok_or(wrong)
}

/// `s3://bucket/folder/` as the bucket and the folder, with a final slash where it is not the whole bucket.
fn location(text: &str) -> Result<(String, String), String> {
    let rest = text.strip_prefix("s3://").ok_or_else(|| {
        format!("'{text}' is not a place in a bucket; write s3://bucket/folder/, for example \"s3://raw/flights/\"")
    })?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let bucket = bucket_name(bucket)?;
    if key.len() > 1000 || key.starts_with('/') || key.contains("//") {
        return Err(format!("'{key}' is not a folder; write it without empty parts, for example \"s3://{bucket}/flights/\""));
    }
    let folder = match key.trim_end_matches('/') {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    Ok((bucket, folder))
}

/// S3's rules for general purpose buckets ("General purpose bucket naming rules").
pub fn bucket_name(text: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("'{text}' cannot name a bucket: {why}; for example \"raw\" or \"acme-raw\"");
    if !(3..=63).contains(&text.len()) {
        return Err(wrong("a name has 3 to 63 characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)) {
        return Err(wrong("a name has only lower-case letters, digits, dots and hyphens"));
    }
    if !text.split('.').all(is_dns_label) {
        return Err(wrong("a name (and each part between dots) begins and ends with a letter or digit"));
    }
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(wrong("a name must not look like an IP address"));
    }
    Ok(text.to_owned())
}

fn is_dns_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn database_name(text: &str) -> Result<String, String> {
    let name = text.to_lowercase();
    let good = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then_some(name)
        .ok_or_else(|| format!("'{text}' cannot be used in SQL without quotes; use letters, digits and underscores"))
}

/// What a flow writes to.
enum Target {
    /// Database and table.
    Catalog(String, String),
    /// A table of items.
    Items(String),
}

fn target(text: &str) -> Result<Target, String> {
    if let Some(table) = text.strip_prefix(ITEMS) {
        let good = (3..=255).contains(&table.len()) && table.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let wrong = format!(
            "'{table}' cannot name a table of items; write {ITEMS} and 3 to 255 letters, digits, '_', '.' and '-', for example \"{ITEMS}company\""
        );
        return good.then(|| Target::Items(table.to_owned())).ok_or(wrong);
    }
    let (database, table) = text.split_once('.').ok_or_else(|| {
        format!("'{text}' is not a table; write database.table, for example \"processed.flights\", or {ITEMS}table for a table of items")
    })?;
    Ok(Target::Catalog(database_name(database)?, database_name(table)?))
}

/// What a flow says of its table of items; `None` inside where it writes to the catalog, outside where something is wrong.
#[allow(clippy::option_option)]
fn items(faults: &mut Faults, raw: &RawFlow) -> Option<Option<Items>> {
    let Some(table) = raw.to.get_ref().strip_prefix(ITEMS) else {
        let only = format!("is for tables of items (to = \"{ITEMS}company\"); leave it out");
        let key = raw.key.as_ref().map(|at| faults.add(at, "flow.key", only.clone()));
        let types = raw.types.as_ref().map(|at| faults.add(at, "flow.types", only));
        return (key.is_none() && types.is_none()).then_some(None);
    };
    if let Some(at) = raw.partition_by.first() {
        faults.add(at, "flow.partition_by", "is for tables of files; a table of items has a `key`");
    }
    let key = match &raw.key {
        None => Some(vec![ITEMS_KEY.to_owned()]),
        Some(at) => faults.take(at, "flow.key", key_names(at.get_ref())),
    };
    let types = match &raw.types {
        None => Some(AttributeTypes::String),
        Some(at) => {
            let wrong = || format!("'{}' is unknown; write \"string\" or \"typed\"", at.get_ref());
            faults.take(at, "flow.types", AttributeTypes::of(at.get_ref()).ok_or_else(wrong))
        }
    };
    Some(Some(Items { table: table.to_owned(), key: key?, types: types? }))
}

fn key_names(names: &Names) -> Result<Vec<String>, String> {
    let names = match names {
        Names::One(name) => vec![name.clone()],
        Names::Several(names) => names.clone(),
    };
    let named = names.iter().all(|name| (1..=255).contains(&name.len()) && !name.contains(',') && name.trim() == name);
    let good = named && (1..=2).contains(&names.len()) && names.first() != names.get(1);
    let wrong = "must be one or two different attributes, the partition key first: \"id\", or [\"customer\", \"day\"]";
    good.then_some(names).ok_or_else(|| wrong.to_owned())
}

fn mail_address(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not an address; write for example \"mailto:ops@example.com\"");
    let address = text.strip_prefix("mailto:").ok_or_else(wrong)?;
    let (local, domain) = address.rsplit_once('@').ok_or_else(wrong)?;
    let plain =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c));
    (plain(local) && plain(domain) && address.len() <= 320).then(|| address.to_owned()).ok_or_else(wrong)
}

fn smtp(faults: &mut Faults, raw: RawSmtp, environment: &dyn Fn(&str) -> Option<String>) -> Option<Smtp> {
    let tls = match &raw.tls {
        None => Some(None),
        Some(at) => faults.take(
            at,
            "smtp.tls",
            match at.get_ref().as_str() {
                "none" => Ok(Some(Tls::None)),
                "starttls" => Ok(Some(Tls::StartTls)),
                "tls" => Ok(Some(Tls::Tls)),
                other => Err(format!("'{other}' is unknown; write \"none\", \"starttls\" or \"tls\"")),
            },
        ),
    };
    let port = raw.port.map(Spanned::into_inner);
    // Without a word about it: what the port's number says, and plain text only within this machine.
    let tls = tls?.unwrap_or(match (port, raw.host.get_ref().as_str()) {
        (Some(465), _) => Tls::Tls,
        (_, "localhost" | "127.0.0.1" | "::1") => Tls::None,
        _ => Tls::StartTls,
    });
    let port = port.unwrap_or(match tls {
        Tls::None => 25,
        Tls::StartTls => 587,
        Tls::Tls => 465,
    });
    if raw.host.get_ref().is_empty() {
        faults.add(
            &raw.host,
            "smtp.host",
            "is empty; name the mail server, or leave [smtp] out to keep messages in the lake's mailbox",
        );
    }
    let from = faults.take(
        &raw.from,
        "smtp.from",
        mail_address(&format!("mailto:{}", raw.from.get_ref()))
            .map_err(|_| format!("'{}' is not an address; write for example \"lake@example.com\"", raw.from.get_ref())),
    );
    let username = environment(SMTP_USERNAME).or(raw.username.as_ref().map(|at| at.get_ref().clone()));
    let password = environment(SMTP_PASSWORD).or(raw.password.as_ref().map(|at| at.get_ref().clone()));
    match (&username, &password, &raw.username) {
        (Some(_), None, Some(at)) => {
            faults.add(
                at,
                "smtp.username",
                format!("has no password; set {SMTP_PASSWORD} in the environment (or smtp.password)"),
            );
        }
        (Some(_), Some(_), at) if tls == Tls::None && !is_loopback(raw.host.get_ref()) => {
            let at = at.as_ref().unwrap_or(&raw.host);
            faults.add(at, "smtp.username", "would send the password in plain text; set tls = \"starttls\" or \"tls\"");
        }
        _ => {}
    }
    Some(Smtp { host: raw.host.into_inner(), port, from: from?, tls, username, password })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

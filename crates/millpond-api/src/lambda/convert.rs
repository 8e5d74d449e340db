//! Between the wire's shapes and the service's.

use super::{Answer, invalid, number};
use bytes::Bytes;
use millpond_services::lambda::{ConfigChange, FunctionView, LoggingChange, Source, State as DomainState, Vpc};
use millpond_wire::Blob;
use millpond_wire::lambda::*;

/// Where a package comes from, of the members that four operations have in common.
pub(super) fn source(
    zip: Option<Blob>,
    bucket: Option<String>,
    key: Option<String>,
    version: Option<String>,
    image: Option<String>,
) -> Answer<Source> {
    if image.is_some() {
        return Err(invalid(
            "ImageUri: functions from container images are not there yet; give a zip (ZipFile, or S3Bucket and S3Key).",
        ));
    }
    match (zip, bucket, key) {
        (Some(zip), None, None) => Ok(Source::Zip(Bytes::from(zip.0))),
        (None, Some(bucket), Some(key)) => Ok(Source::Object { bucket, key, version }),
        (Some(_), _, _) => Err(invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")),
        _ => Err(invalid("Please provide a source for function code.")),
    }
}

pub(super) fn vpc(vpc: VpcConfig) -> Vpc {
    Vpc {
        subnets: vpc.subnet_ids.unwrap_or_default(),
        security_groups: vpc.security_group_ids.unwrap_or_default(),
        ipv6: vpc.ipv6_allowed_for_dual_stack.unwrap_or(false),
    }
}

fn logging(config: LoggingConfig) -> LoggingChange {
    LoggingChange {
        format: config.log_format.map(|format| format.as_str().to_owned()),
        application_level: config.application_log_level.map(|level| level.as_str().to_owned()),
        system_level: config.system_log_level.map(|level| level.as_str().to_owned()),
        group: config.log_group,
    }
}

/// What a member asks for that this lake does not have.
fn without<T>(value: Option<T>, member: &str, why: &str) -> Answer<()> {
    match value {
        Some(_) => Err(invalid(format!("{member}: {why}; leave it out."))),
        None => Ok(()),
    }
}

fn without_key(key: Option<String>) -> Answer<()> {
    without(key.filter(|key| !key.is_empty()), "KMSKeyArn", "this lake has no KMS keys")
}

fn without_files(systems: Option<Vec<FileSystemConfig>>) -> Answer<()> {
    without(systems.filter(|systems| !systems.is_empty()), "FileSystemConfigs", "this lake mounts no file systems")
}

const INSTANCES: &str = "functions run as processes of this machine, and not on instances of their own";

/// The configuration of a new function.
pub(super) fn created(input: &mut CreateFunctionInput) -> Answer<ConfigChange> {
    without_key(input.kms_key_arn.take())?;
    without_files(input.file_system_configs.take())?;
    let image = input.package_type.filter(|kind| *kind == PackageType::Image);
    without(image, "PackageType", "functions from container images are not there yet: only Zip is")?;
    let signing = input.code_signing_config_arn.take().filter(|arn| !arn.is_empty());
    without(signing, "CodeSigningConfigArn", "code signing is not there yet")?;
    without(
        input.image_config.take().filter(|config| *config != ImageConfig::default()),
        "ImageConfig",
        "it is of container images",
    )?;
    without(input.capacity_provider_config.take(), "CapacityProviderConfig", INSTANCES)?;
    without(input.durable_config.take(), "DurableConfig", "durable functions are not there yet")?;
    without(input.tenancy_config.take(), "TenancyConfig", "tenant isolation is not there yet")?;
    without(input.accelerator_config.take(), "AcceleratorConfig", INSTANCES)?;
    without(input.runtime_config.take(), "RuntimeConfig", "custom runtimes are given as provided.al2023 with a bootstrap")?;
    without(input.publish_to.take(), "PublishTo", INSTANCES)?;
    Ok(ConfigChange {
        runtime: input.runtime.take(),
        handler: input.handler.take(),
        role: Some(std::mem::take(&mut input.role)),
        description: input.description.take(),
        timeout_s: number(input.timeout),
        memory_mb: number(input.memory_size),
        environment: input.environment.take().map(|environment| environment.variables.unwrap_or_default()),
        layers: input.layers.take(),
        dead_letter: input.dead_letter_config.take().map(|config| config.target_arn.unwrap_or_default()),
        ephemeral_mb: number(input.ephemeral_storage.take().map(|storage| storage.size)),
        architecture: architecture(input.architectures.take()),
        tracing: input.tracing_config.take().and_then(|config| config.mode).map(|mode| mode.as_str().to_owned()),
        vpc: input.vpc_config.take().map(vpc),
        snap_start: input.snap_start.take().and_then(|config| config.apply_on).map(|on| on.as_str().to_owned()),
        logging: input.logging_config.take().map(logging),
    })
}

/// A change of a function's configuration.
pub(super) fn updated(input: UpdateFunctionConfigurationInput) -> Answer<ConfigChange> {
    without_key(input.kms_key_arn)?;
    without_files(input.file_system_configs)?;
    without(input.image_config.filter(|config| *config != ImageConfig::default()), "ImageConfig", "it is of container images")?;
    without(input.capacity_provider_config, "CapacityProviderConfig", INSTANCES)?;
    without(input.durable_config, "DurableConfig", "durable functions are not there yet")?;
    without(input.accelerator_config, "AcceleratorConfig", INSTANCES)?;
    without(input.runtime_config, "RuntimeConfig", "custom runtimes are given as provided.al2023 with a bootstrap")?;
    Ok(ConfigChange {
        runtime: input.runtime,
        handler: input.handler,
        role: input.role,
        description: input.description,
        timeout_s: number(input.timeout),
        memory_mb: number(input.memory_size),
        environment: input.environment.map(|environment| environment.variables.unwrap_or_default()),
        layers: input.layers,
        dead_letter: input.dead_letter_config.map(|config| config.target_arn.unwrap_or_default()),
        ephemeral_mb: number(input.ephemeral_storage.map(|storage| storage.size)),
        architecture: None,
        tracing: input.tracing_config.and_then(|config| config.mode).map(|mode| mode.as_str().to_owned()),
        vpc: input.vpc_config.map(vpc),
        snap_start: input.snap_start.and_then(|config| config.apply_on).map(|on| on.as_str().to_owned()),
        logging: input.logging_config.map(logging),
    })
}

pub(super) fn architecture(of: Option<Vec<Architecture>>) -> Option<String> {
    of.and_then(|all| all.into_iter().next()).map(|one| one.as_str().to_owned())
}

/// A version as it is shown by all operations but listings.
pub(super) fn configuration(view: FunctionView) -> FunctionConfiguration {
    let (state, reason, code) = match &view.state {
        DomainState::Active => (State::Active, None, None),
        DomainState::Pending => {
            (State::Pending, Some("The function is being created.".to_owned()), Some(StateReasonCode::Creating))
        }
        DomainState::Failed(why) => (State::Failed, Some(why.clone()), Some(StateReasonCode::InvalidRuntime)),
    };
    let active = state == State::Active;
    let runtime = RuntimeVersionConfig { runtime_version_arn: Some(view.runtime_arn.clone()), error: None };
    FunctionConfiguration {
        state: Some(state),
        state_reason: reason,
        state_reason_code: code,
        last_update_status: active.then_some(LastUpdateStatus::Successful),
        runtime_version_config: Some(runtime),
        ..listed(view)
    }
}

/// A version as listings show it.
pub(super) fn listed(view: FunctionView) -> FunctionConfiguration {
    let config = view.config;
    let layers: Vec<Layer> = config
        .layers
        .into_iter()
        .map(|layer| Layer { arn: Some(layer.arn), code_size: Some(layer.size as i64), ..Layer::default() })
        .collect();
    let snap_start = SnapStartResponse {
        apply_on: SnapStartApplyOn::from_text(&config.snap_start),
        optimization_status: Some(SnapStartOptimizationStatus::Off),
    };
    FunctionConfiguration {
        function_name: Some(view.name),
        function_arn: Some(view.arn),
        runtime: Some(config.runtime),
        role: Some(config.role),
        handler: Some(config.handler),
        code_size: Some(view.code_size as i64),
        description: Some(config.description),
        timeout: Some(config.timeout_s as i32),
        memory_size: Some(config.memory_mb as i32),
        last_modified: Some(view.modified),
        code_sha256: Some(view.code_sha256),
        version: Some(view.version),
        vpc_config: config.vpc.map(|vpc| VpcConfigResponse {
            subnet_ids: Some(vpc.subnets),
            security_group_ids: Some(vpc.security_groups),
            vpc_id: Some(String::new()),
            ipv6_allowed_for_dual_stack: Some(vpc.ipv6),
        }),
        dead_letter_config: config.dead_letter.map(|arn| DeadLetterConfig { target_arn: Some(arn) }),
        environment: config.environment.map(|variables| EnvironmentResponse { variables: Some(variables), error: None }),
        tracing_config: Some(TracingConfigResponse { mode: TracingMode::from_text(&config.tracing) }),
        revision_id: Some(view.revision),
        layers: (!layers.is_empty()).then_some(layers),
        package_type: Some(PackageType::Zip),
        architectures: Architecture::from_text(&config.architecture).map(|one| vec![one]),
        ephemeral_storage: Some(EphemeralStorage { size: config.ephemeral_mb as i32 }),
        snap_start: Some(snap_start),
        logging_config: Some(LoggingConfig {
            log_format: LogFormat::from_text(&config.logging.format),
            application_log_level: config.logging.application_level.as_deref().and_then(ApplicationLogLevel::from_text),
            system_log_level: config.logging.system_level.as_deref().and_then(SystemLogLevel::from_text),
            log_group: Some(config.logging.group),
        }),
        ..FunctionConfiguration::default()
    }
}

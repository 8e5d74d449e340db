use super::{Answer, refused};
use crate::router::Context;
use http::StatusCode;
use millpond_services::dynamodb::{
    self as domain, Definition, Described, DynamoDb, Encryption, IndexChange, KeyKind, KeyPart, NewIndex, NewTable, OnDemand,
    Projected, TableChange, TableState, Warm,
};
use millpond_wire::WireError;
use millpond_wire::dynamodb::*;
use millpond_wire::shapes::Timestamp;

pub(super) fn definition(given: AttributeDefinition) -> Definition {
    let kind = match given.attribute_type {
        ScalarAttributeType::S => KeyKind::S,
        ScalarAttributeType::N => KeyKind::N,
        ScalarAttributeType::B => KeyKind::B,
    };
    Definition { name: given.attribute_name, kind }
}

pub(super) fn key(given: Vec<KeySchemaElement>) -> Vec<KeyPart> {
    let part = |element: KeySchemaElement| KeyPart { hash: element.key_type == KeyType::Hash, name: element.attribute_name };
    given.into_iter().map(part).collect()
}

pub(super) fn throughput(given: ProvisionedThroughput) -> domain::Throughput {
    domain::Throughput { read: given.read_capacity_units, write: given.write_capacity_units }
}

pub(super) fn on_demand(given: OnDemandThroughput) -> OnDemand {
    OnDemand { read: given.max_read_request_units, write: given.max_write_request_units }
}

fn warm(given: WarmThroughput) -> Warm {
    Warm { read: given.read_units_per_second, write: given.write_units_per_second }
}

pub(super) fn wire_warm(given: Warm) -> WarmThroughput {
    WarmThroughput { read_units_per_second: given.read, write_units_per_second: given.write }
}

/// What all indexes have.
fn index(name: String, schema: Vec<KeySchemaElement>, projection: Projection) -> NewIndex {
    let kind = projection.projection_type.map(|kind| kind.as_str().to_owned());
    NewIndex { name, key: key(schema), projection: kind, attributes: projection.non_key_attributes, ..NewIndex::default() }
}

pub(super) fn global(given: GlobalSecondaryIndex) -> NewIndex {
    NewIndex {
        throughput: given.provisioned_throughput.map(throughput),
        on_demand: given.on_demand_throughput.map(on_demand),
        warm: given.warm_throughput.map(warm),
        ..index(given.index_name, given.key_schema, given.projection)
    }
}

fn local(given: LocalSecondaryIndex) -> NewIndex {
    index(given.index_name, given.key_schema, given.projection)
}

/// The KMS key that is asked for: `Enabled: false` and no specification at all mean AWS's own.
pub(super) fn encryption(given: SSESpecification) -> Option<Encryption> {
    given.enabled.unwrap_or_default().then_some(Encryption { key: given.kms_master_key_id })
}

pub(super) async fn create_table(dynamodb: DynamoDb, _: Context, input: CreateTableInput) -> Answer<CreateTableOutput> {
    let unsupported = [
        (input.vector_indexes.is_some(), "VectorIndexes"),
        (input.global_table_source_arn.is_some(), "GlobalTableSourceArn"),
        (input.resource_policy.is_some(), "ResourcePolicy"),
        (input.global_table_settings_replication_mode.is_some(), "GlobalTableSettingsReplicationMode"),
    ];
    let new = NewTable {
        name: input.table_name,
        definitions: input.attribute_definitions.unwrap_or_default().into_iter().map(definition).collect(),
        key: key(input.key_schema.unwrap_or_default()),
        local: input.local_secondary_indexes.map(|all| all.into_iter().map(local).collect()),
        global: input.global_secondary_indexes.map(|all| all.into_iter().map(global).collect()),
        pay_per_request: input.billing_mode == Some(BillingMode::PayPerRequest),
        throughput: input.provisioned_throughput.map(throughput),
        on_demand: input.on_demand_throughput.map(on_demand),
        warm: input.warm_throughput.map(warm),
        stream: input.stream_specification.is_some_and(|stream| stream.stream_enabled),
        encryption: input.sse_specification.and_then(encryption),
        class: input.table_class.map(|class| class.as_str().to_owned()),
        protected: input.deletion_protection_enabled.unwrap_or_default(),
        tags: input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect(),
        unsupported: unsupported.into_iter().find(|(given, _)| *given).map(|(_, name)| name),
    };
    let described = dynamodb.create_table(new).await.map_err(refused)?;
    Ok(CreateTableOutput { table_description: Some(description(described)) })
}

pub(super) async fn describe_table(dynamodb: DynamoDb, _: Context, input: DescribeTableInput) -> Answer<DescribeTableOutput> {
    let described = dynamodb.describe_table(&input.table_name).await.map_err(refused)?;
    Ok(DescribeTableOutput { table: Some(description(described)) })
}

pub(super) async fn list_tables(dynamodb: DynamoDb, _: Context, input: ListTablesInput) -> Answer<ListTablesOutput> {
    let after = input.exclusive_start_table_name.as_deref();
    let page = dynamodb.list_tables(after, super::convert::limit(input.limit)).map_err(refused)?;
    Ok(ListTablesOutput { table_names: Some(page.names), last_evaluated_table_name: page.last })
}

pub(super) async fn delete_table(dynamodb: DynamoDb, _: Context, input: DeleteTableInput) -> Answer<DeleteTableOutput> {
    let described = dynamodb.delete_table(&input.table_name).await.map_err(refused)?;
    Ok(DeleteTableOutput { table_description: Some(description(described)) })
}

fn invalid(what: &str) -> WireError {
    let text = format!("One or more parameter values were invalid: {what}");
    WireError::sender(StatusCode::BAD_REQUEST, "ValidationException", text)
}

/// One change of one index.
fn index_change(given: GlobalSecondaryIndexUpdate) -> Result<IndexChange, WireError> {
    match given {
        GlobalSecondaryIndexUpdate { create: Some(given), update: None, delete: None } => Ok(IndexChange::Create(NewIndex {
            throughput: given.provisioned_throughput.map(throughput),
            on_demand: given.on_demand_throughput.map(on_demand),
            warm: given.warm_throughput.map(warm),
            ..index(given.index_name, given.key_schema, given.projection)
        })),
        GlobalSecondaryIndexUpdate { update: Some(given), create: None, delete: None } => Ok(IndexChange::Update {
            name: given.index_name,
            throughput: given.provisioned_throughput.map(throughput),
            on_demand: given.on_demand_throughput.map(on_demand),
            warm: given.warm_throughput.map(warm),
        }),
        GlobalSecondaryIndexUpdate { delete: Some(given), create: None, update: None } => {
            Ok(IndexChange::Delete(given.index_name))
        }
        GlobalSecondaryIndexUpdate { create: None, update: None, delete: None } => Err(invalid(
            "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null",
        )),
        _ => Err(invalid("Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object")),
    }
}

pub(super) async fn update_table(dynamodb: DynamoDb, _: Context, input: UpdateTableInput) -> Answer<UpdateTableOutput> {
    let mut indexes = Vec::new();
    if let Some(updates) = input.global_secondary_index_updates {
        if updates.is_empty() {
            return Err(invalid("List of GlobalSecondaryIndexUpdates is empty"));
        }
        indexes = updates.into_iter().map(index_change).collect::<Result<_, _>>()?;
    }
    let unsupported = [
        (input.vector_index_updates.is_some(), "VectorIndexUpdates"),
        (input.replica_updates.is_some(), "ReplicaUpdates"),
        (input.global_table_witness_updates.is_some(), "GlobalTableWitnessUpdates"),
        (input.multi_region_consistency.is_some(), "MultiRegionConsistency"),
        (input.global_table_settings_replication_mode.is_some(), "GlobalTableSettingsReplicationMode"),
    ];
    let change = TableChange {
        name: input.table_name,
        definitions: input.attribute_definitions.unwrap_or_default().into_iter().map(definition).collect(),
        pay_per_request: input.billing_mode.map(|mode| mode == BillingMode::PayPerRequest),
        throughput: input.provisioned_throughput.map(throughput),
        on_demand: input.on_demand_throughput.map(on_demand),
        warm: input.warm_throughput.map(warm),
        stream: input.stream_specification.map(|stream| stream.stream_enabled),
        encryption: input.sse_specification.map(encryption),
        class: input.table_class.map(|class| class.as_str().to_owned()),
        protected: input.deletion_protection_enabled,
        indexes,
        unsupported: unsupported.into_iter().find(|(given, _)| *given).map(|(_, name)| name),
    };
    let described = dynamodb.update_table(change).await.map_err(refused)?;
    Ok(UpdateTableOutput { table_description: Some(description(described)) })
}

pub(super) fn wire_definition(definition: &Definition) -> AttributeDefinition {
    let attribute_type = match definition.kind {
        KeyKind::S => ScalarAttributeType::S,
        KeyKind::N => ScalarAttributeType::N,
        KeyKind::B => ScalarAttributeType::B,
    };
    AttributeDefinition { attribute_name: definition.name.clone(), attribute_type }
}

pub(super) fn wire_key(key: &[KeyPart]) -> Vec<KeySchemaElement> {
    let element = |part: &KeyPart| KeySchemaElement {
        attribute_name: part.name.clone(),
        key_type: if part.hash { KeyType::Hash } else { KeyType::Range },
    };
    key.iter().map(element).collect()
}

pub(super) fn wire_projection(projected: &Projected) -> Projection {
    let (kind, attributes) = match projected {
        Projected::All => (ProjectionType::All, None),
        Projected::KeysOnly => (ProjectionType::KeysOnly, None),
        Projected::Include(names) => (ProjectionType::Include, Some(names.clone())),
    };
    Projection { projection_type: Some(kind), non_key_attributes: attributes }
}

/// An on-demand table has none; AWS shows zeros.
fn wire_throughput(given: Option<domain::Throughput>) -> ProvisionedThroughputDescription {
    ProvisionedThroughputDescription {
        number_of_decreases_today: Some(0),
        read_capacity_units: Some(given.map_or(0, |units| units.read)),
        write_capacity_units: Some(given.map_or(0, |units| units.write)),
        ..ProvisionedThroughputDescription::default()
    }
}

pub(super) fn wire_on_demand(given: OnDemand) -> OnDemandThroughput {
    OnDemandThroughput { max_read_request_units: given.read, max_write_request_units: given.write }
}

fn number(count: u64) -> Option<i64> {
    Some(i64::try_from(count).unwrap_or(i64::MAX))
}

fn global_indexes(described: &Described) -> Vec<GlobalSecondaryIndexDescription> {
    let describe = |index: &domain::Index| {
        let (items, bytes, filling) = described.indexes.get(&index.name).copied().unwrap_or_default();
        let status = match (described.state, filling) {
            (None, _) => IndexStatus::Deleting,
            (Some(TableState::Creating), _) | (_, true) => IndexStatus::Creating,
            (Some(TableState::Active), false) => IndexStatus::Active,
        };
        GlobalSecondaryIndexDescription {
            index_name: Some(index.name.clone()),
            key_schema: Some(wire_key(&index.key)),
            projection: Some(wire_projection(&index.projected)),
            index_status: Some(status),
            backfilling: filling.then_some(true),
            provisioned_throughput: Some(wire_throughput(index.throughput)),
            index_size_bytes: number(bytes),
            item_count: number(items),
            index_arn: Some(format!("{}/index/{}", described.arn, index.name)),
            on_demand_throughput: index.on_demand.map(wire_on_demand),
            warm_throughput: Some(GlobalSecondaryIndexWarmThroughputDescription {
                read_units_per_second: Some(index.warm().read),
                write_units_per_second: Some(index.warm().write),
                status: Some(status),
            }),
        }
    };
    described.settings.global.iter().map(describe).collect()
}

fn local_indexes(described: &Described) -> Vec<LocalSecondaryIndexDescription> {
    let describe = |index: &domain::Index| {
        let (items, bytes, _) = described.indexes.get(&index.name).copied().unwrap_or_default();
        LocalSecondaryIndexDescription {
            index_name: Some(index.name.clone()),
            key_schema: Some(wire_key(&index.key)),
            projection: Some(wire_projection(&index.projected)),
            index_size_bytes: number(bytes),
            item_count: number(items),
            index_arn: Some(format!("{}/index/{}", described.arn, index.name)),
        }
    };
    described.settings.local.iter().map(describe).collect()
}

pub(super) fn description(described: Described) -> TableDescription {
    let filling = described.indexes.values().any(|(.., filling)| *filling);
    let status = match (described.state, filling) {
        (None, _) => TableStatus::Deleting,
        (Some(TableState::Creating), _) => TableStatus::Creating,
        (Some(TableState::Active), true) => TableStatus::Updating,
        (Some(TableState::Active), false) => TableStatus::Active,
    };
    let (global, local) = (global_indexes(&described), local_indexes(&described));
    let settings = &described.settings;
    TableDescription {
        attribute_definitions: Some(settings.definitions.iter().map(wire_definition).collect()),
        key_schema: Some(wire_key(&settings.key)),
        table_status: Some(status),
        creation_date_time: Some(Timestamp::from_ms(described.created_ms)),
        provisioned_throughput: Some(wire_throughput(settings.throughput)),
        table_size_bytes: number(described.bytes),
        item_count: number(described.items),
        billing_mode_summary: settings.on_demand_since_ms.map(|since| BillingModeSummary {
            billing_mode: Some(match settings.throughput {
                None => BillingMode::PayPerRequest,
                Some(_) => BillingMode::Provisioned,
            }),
            last_update_to_pay_per_request_date_time: Some(Timestamp::from_ms(since)),
        }),
        local_secondary_indexes: (!local.is_empty()).then_some(local),
        global_secondary_indexes: (!global.is_empty()).then_some(global),
        sse_description: settings.encryption.as_ref().map(|encryption| SSEDescription {
            status: Some(SSEStatus::Enabled),
            sse_type: Some(SSEType::Kms),
            kms_master_key_arn: encryption.key.clone(),
            ..SSEDescription::default()
        }),
        table_class_summary: settings
            .class
            .as_deref()
            .and_then(TableClass::from_text)
            .map(|class| TableClassSummary { table_class: Some(class), ..TableClassSummary::default() }),
        deletion_protection_enabled: Some(settings.protected),
        on_demand_throughput: settings.on_demand.map(wire_on_demand),
        warm_throughput: Some(TableWarmThroughputDescription {
            read_units_per_second: Some(settings.warm().read),
            write_units_per_second: Some(settings.warm().write),
            // Another index that is filled does not change what the table takes.
            status: Some(if filling { TableStatus::Active } else { status }),
        }),
        table_name: Some(described.name),
        table_arn: Some(described.arn),
        table_id: Some(described.id),
        ..TableDescription::default()
    }
}

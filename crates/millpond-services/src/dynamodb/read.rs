//! GetItem.

use super::capacity::{Consumed, Report, read_units};
use super::request::{self, Expressions, Projection, written};
use super::{Attributes, DynamoDb, DynamoError, items_error, keys};
use millpond_tables::expression::Kind;
use millpond_tables::value::item_size;

/// `GetItem`.
#[derive(Debug, Clone, Default)]
pub struct GetItem {
    /// The table's name or ARN.
    pub table: String,
    /// The primary key.
    pub key: Attributes,
    /// Which parts of the item.
    pub projection: Projection,
    /// Names of the projection.
    pub expressions: Expressions,
    /// Reads are always consistent here; it counts twice as on AWS.
    pub consistent: bool,
    /// What is told of capacity.
    pub report: Report,
}

/// What a read answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Got {
    /// The item, where it is there.
    pub item: Option<Attributes>,
    /// Where it was asked for.
    pub consumed: Option<Consumed>,
}

/// Refuses a projection in both ways.
pub(super) fn check_projection_way(projection: &Projection) -> Result<(), DynamoError> {
    let (old, new) = (projection.attributes.is_some(), projection.expression.is_some());
    request::check_one_way(&[("AttributesToGet", old)], &[("ProjectionExpression", new)])
}

impl DynamoDb {
    /// `GetItem`.
    pub async fn get_item(&self, get: GetItem) -> Result<Got, DynamoError> {
        check_projection_way(&get.projection)?;
        let mut placeholders = get.expressions.placeholders()?;
        let projection = get.projection.parse(&mut placeholders)?;
        placeholders.finish(&[Kind::Projection]).map_err(request::refused)?;
        let key = keys::read(&get.key)?;
        let table = self.table(&get.table)?;
        keys::check_key(&table.schema, &key)?;
        let id = table.id();
        let (item, size) = self
            .look(move |items| {
                let item = items.get(id, &key).map_err(items_error)?;
                let size = item.as_ref().map_or(0, item_size);
                let wanted =
                    item.map(|item| projection.map_or_else(|| written(&item), |projection| written(&projection.apply(&item))));
                Ok((wanted, size))
            })
            .await?;
        let consumed = (get.report != Report::None).then(|| {
            let mut consumed = Consumed::of(&table);
            consumed.count_read(None, read_units(size, get.consistent));
            consumed
        });
        Ok(Got { item, consumed })
    }
}

//! Custom classifiers on the wire.

use super::crawlers::{page, recode};
use super::error::wire;
use crate::router::{Context, Router};
use millpond_services::glue::classifier::{Classifier as Known, CsvSpec};
use millpond_services::glue::{Glue, GlueError};
use millpond_wire::glue::{self, *};
use millpond_wire::{Timestamp, WireError};
use serde_json::{Map, Value};

/// Registers classifiers.
pub fn register(router: &mut Router, service: &Glue) {
    router
        .service(service.clone())
        .on(glue::CreateClassifier, create)
        .on(glue::UpdateClassifier, update)
        .on(glue::DeleteClassifier, delete)
        .on(glue::GetClassifier, get)
        .on(glue::GetClassifiers, get_many);
}

fn only_csv<T>(csv: Option<T>, others: bool) -> Result<T, WireError> {
    let refuse = |text: &str| wire(GlueError::InvalidInput(text.into()));
    if others {
        return Err(refuse(
            "This lake has custom classifiers for CSV only (CsvClassifier); Grok, XML and JSON ones are not supported.",
        ));
    }
    csv.ok_or_else(|| refuse("CsvClassifier must be given."))
}

async fn create(service: Glue, _: Context, input: CreateClassifierInput) -> Result<CreateClassifierOutput, WireError> {
    let others = input.grok_classifier.is_some() || input.xml_classifier.is_some() || input.json_classifier.is_some();
    let mut csv = only_csv(input.csv_classifier, others)?;
    let name = std::mem::take(&mut csv.name);
    service.create_classifier(name, spec(&csv)?).await.map_err(wire)?;
    Ok(CreateClassifierOutput {})
}

fn spec(csv: &CreateCsvClassifierRequest) -> Result<CsvSpec, WireError> {
    let mut members: Map<String, Value> = recode(csv)?;
    members.remove("Name");
    recode(&members)
}

async fn update(service: Glue, _: Context, input: UpdateClassifierInput) -> Result<UpdateClassifierOutput, WireError> {
    let others = input.grok_classifier.is_some() || input.xml_classifier.is_some() || input.json_classifier.is_some();
    let csv = only_csv(input.csv_classifier, others)?;
    let mut changes: Map<String, Value> = recode(&csv)?;
    changes.remove("Name");
    service.update_classifier(csv.name, changes).await.map_err(wire)?;
    Ok(UpdateClassifierOutput {})
}

async fn delete(service: Glue, _: Context, input: DeleteClassifierInput) -> Result<DeleteClassifierOutput, WireError> {
    service.delete_classifier(input.name).await.map_err(wire)?;
    Ok(DeleteClassifierOutput {})
}

async fn get(service: Glue, _: Context, input: GetClassifierInput) -> Result<GetClassifierOutput, WireError> {
    let known = service.classifier(input.name).await.map_err(wire)?;
    Ok(GetClassifierOutput { classifier: Some(classifier(&known)?) })
}

async fn get_many(service: Glue, _: Context, input: GetClassifiersInput) -> Result<GetClassifiersOutput, WireError> {
    let found = service.classifiers(input.next_token, page(input.max_results)).await.map_err(wire)?;
    let classifiers = found.items.iter().map(classifier).collect::<Result<_, _>>()?;
    Ok(GetClassifiersOutput { classifiers: Some(classifiers), next_token: found.next })
}

fn classifier(known: &Known) -> Result<Classifier, WireError> {
    let mut members: Map<String, Value> = recode(&known.spec)?;
    members.insert("Name".into(), known.name.clone().into());
    let csv = CsvClassifier {
        creation_time: Some(Timestamp(known.created_ms)),
        last_updated: Some(Timestamp(known.updated_ms)),
        version: Some(known.version),
        ..recode(&members)?
    };
    Ok(Classifier { csv_classifier: Some(csv), ..Classifier::default() })
}

//! The resources of operations: from the templates of `services.toml` to static parts.
//!
//! A template is an ARN with parts in braces: `{region}`, `{account}`, or a member of the input: `{TableInput.Name}`. A member may have
//! others to take its place, a form, and a default: `{TopicArn|TargetArn}`, `{QueueUrl:last}`, `{EventBusName:last=default}`. A way through a
//! list or a map names a resource for each of its values.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::ServiceEntry;
use super::model::Model;

/// The template of an operation's resource.
pub(super) fn of<'e>(operation: &str, entry: &'e ServiceEntry) -> Result<&'e str> {
    let mut named = entry.resources.iter().filter(|(_, operations)| operations.iter().any(|name| name == operation));
    let Some((template, _)) = named.next() else {
        bail!(
            "the operation {operation} has no resource in services.toml: name it in the service's table `resources` \
             (\"*\" where AWS's service authorization reference gives it none)"
        );
    };
    if named.next().is_some() {
        bail!("services.toml has two resources of the operation {operation}");
    }
    Ok(template)
}

/// The parts of a template as the text of a static slice; `input` is the shape of the operation's input.
pub(super) fn emit(template: &str, model: &Model, input: Option<&str>) -> Result<String> {
    let mut out = String::from("&[");
    let mut rest = template;
    while let Some((text, behind)) = rest.split_once('{') {
        let (part, after) = behind.split_once('}').with_context(|| format!("{template:?} has a brace that does not end"))?;
        write_text(&mut out, text)?;
        match part {
            "region" => out.push_str("Part::Region, "),
            "account" => out.push_str("Part::Account, "),
            part => out.push_str(&member(part, model, input)?),
        }
        rest = after;
    }
    write_text(&mut out, rest)?;
    out.push(']');
    Ok(out)
}

fn write_text(out: &mut String, text: &str) -> Result<()> {
    if !text.is_empty() {
        write!(out, "Part::Text({text:?}), ")?;
    }
    Ok(())
}

fn member(part: &str, model: &Model, input: Option<&str>) -> Result<String> {
    let (part, default) = part.split_once('=').unwrap_or((part, "*"));
    let (ways, form) = part.split_once(':').unwrap_or((part, "whole"));
    let form = match form {
        "whole" => "Whole",
        "last" => "Last",
        "function" => "Function",
        "log-group" => "LogGroup",
        "bus" => "Bus",
        other => bail!("{other:?} is not a form of a resource"),
    };
    let input = input.context("the operation has no input")?;
    let mut out = String::from("Part::Input { ways: &[");
    for way in ways.split('|') {
        let parts = wire_names(way, model, input).with_context(|| format!("the way {way:?}"))?;
        write!(out, "&{parts:?}, ")?;
    }
    write!(out, "], form: Form::{form}, default: {default:?} }}, ")?;
    Ok(out)
}

/// A way through an input by the members' names, as names on the wire.
fn wire_names<'m>(way: &'m str, model: &'m Model, input: &'m str) -> Result<Vec<&'m str>> {
    let mut shape = model.shape(input)?;
    let mut names = Vec::new();
    for name in way.split('.') {
        while let Some(member) = shape.member.as_ref().filter(|_| shape.kind == "list") {
            shape = model.shape(&member.shape)?;
        }
        let member = shape.members.get(name).with_context(|| format!("there is no member {name}"))?;
        names.push(member.location_name.as_deref().unwrap_or(name));
        shape = model.shape(&member.shape)?;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"{
        "metadata": {"apiVersion": "1", "protocol": "json", "serviceId": "Tea", "endpointPrefix": "tea"},
        "operations": {},
        "shapes": {
            "In": {"type": "structure", "members": {"Pots": {"shape": "Pots"}, "Arn": {"shape": "Text", "locationName": "arn"}}},
            "Pots": {"type": "list", "member": {"shape": "Pot"}},
            "Pot": {"type": "structure", "members": {"Name": {"shape": "Text"}}},
            "Text": {"type": "string"}
        }
    }"#;

    #[test]
    fn templates_become_parts_and_unknown_members_are_named() {
        let model = Model::parse(MODEL).unwrap();
        let emitted = emit("arn:aws:tea:{region}:{account}:pot/{Pots.Name|Arn:last=blue}", &model, Some("In")).unwrap();
        assert_eq!(
            emitted,
            "&[Part::Text(\"arn:aws:tea:\"), Part::Region, Part::Text(\":\"), Part::Account, Part::Text(\":pot/\"), \
             Part::Input { ways: &[&[\"Pots\", \"Name\"], &[\"arn\"], ], form: Form::Last, default: \"blue\" }, ]"
        );
        assert_eq!(emit("*", &model, None).unwrap(), "&[Part::Text(\"*\"), ]");
        for wrong in ["{Pots.Colour}", "{Pots", "{Arn:colour}"] {
            assert!(emit(wrong, &model, Some("In")).is_err(), "{wrong}");
        }
    }
}

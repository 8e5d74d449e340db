//! Which resources a request touches, as policies name them: a template of an ARN for each operation, filled from its input.

use std::borrow::Cow;

use crate::protocol::Decoded;

/// A part of the template of a resource's ARN. `services.toml` says how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(&'static str),
    /// The lake's region.
    Region,
    /// The lake's account.
    Account,
    /// A member of the input.
    Input {
        /// Ways to it, of which the first that leads to something counts.
        ways: &'static [&'static [&'static str]],
        /// What of it counts.
        form: Form,
        /// What stands there if no way leads to anything: `*`, if the operation has no default for it.
        default: &'static str,
    },
}

/// What counts of a member that names a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Whole,
    /// The last part of an ARN or URL: `default` of `arn:aws:events:us-east-1:000000000000:event-bus/default`. Names stay as they are.
    Last,
    /// A function's name, of its ARN, of a part of that, with or without a qualifier.
    Function,
    /// A group's name, of its ARN, which may end in `:*`.
    LogGroup,
    /// What stands before the name of a rule: nothing for the bus `default`, `BUS/` for others.
    Bus,
}

impl Form {
    fn of(self, text: Cow<'_, str>) -> Cow<'_, str> {
        let is_arn = text.starts_with("arn:");
        match (self, text) {
            (Self::Bus, text) => match Self::Last.of(text).as_ref() {
                "default" | "" => "".into(),
                bus => format!("{bus}/").into(),
            },
            (form, Cow::Borrowed(text)) => form.part(text, is_arn).into(),
            (form, Cow::Owned(text)) => form.part(&text, is_arn).to_owned().into(),
        }
    }

    fn part(self, text: &str, is_arn: bool) -> &str {
        match self {
            Self::Last if is_arn || text.contains("://") => text.rsplit(['/', ':']).next().unwrap_or(text),
            Self::Function => {
                let name = text.split_once("function:").map_or(text, |(_, name)| name);
                name.split(':').next().unwrap_or(name)
            }
            Self::LogGroup if is_arn => {
                let name = text.split_once(":log-group:").map_or(text, |(_, name)| name);
                name.split(':').next().unwrap_or(name)
            }
            Self::Whole | Self::Last | Self::LogGroup | Self::Bus => text,
        }
    }
}

impl Decoded {
    /// The resources that the input names; as many as the list that its template goes through has different entries, else one.
    #[must_use]
    pub fn resources(&self, template: &[Part], account: &str, region: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in template {
            let texts = match part {
                Part::Text(text) => vec![Cow::Borrowed(*text)],
                Part::Region => vec![region.into()],
                Part::Account => vec![account.into()],
                Part::Input { ways, form, default } => {
                    let texts = ways.iter().map(|way| self.texts(way)).find(|texts| !texts.is_empty());
                    let mut texts: Vec<_> = texts.unwrap_or_default().into_iter().map(|text| form.of(text)).collect();
                    if texts.is_empty() {
                        texts.push(Cow::Borrowed(*default));
                    }
                    texts.sort_unstable();
                    texts.dedup();
                    texts
                }
            };
            found = match texts.as_slice() {
                [text] => {
                    found.iter_mut().for_each(|resource| resource.push_str(text));
                    found
                }
                texts => found.iter().flat_map(|resource| texts.iter().map(move |text| format!("{resource}{text}"))).collect(),
            };
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::{Operation, Request, events, glue, lambda, logs, read, sns, sqs};

    fn resources<O: Operation>(body: &str) -> Vec<String> {
        let request = match O::SERVICE.protocol {
            crate::Protocol::RestJson => {
                let path = body.split_once(' ').unwrap();
                Request { path: path.0, body: path.1.as_bytes(), ..Request::of(O::SERVICE, b"") }
            }
            _ => Request::of(O::SERVICE, body.as_bytes()),
        };
        read::<O>(&request).unwrap().resources(O::RESOURCE, "000000000000", "us-east-1")
    }

    #[test]
    fn resources_are_named_as_policies_name_them() {
        for (found, expected) in [
            (
                resources::<glue::CreateTable>(r#"{"DatabaseName":"raw","TableInput":{"Name":"t"}}"#),
                vec!["arn:aws:glue:us-east-1:000000000000:table/raw/t"],
            ),
            (
                resources::<events::PutEvents>(
                    r#"{"Entries":[{"Source":"s"},{"EventBusName":"b"},{"EventBusName":"arn:aws:events:us-east-1:000000000000:event-bus/b"}]}"#,
                ),
                vec!["arn:aws:events:us-east-1:000000000000:event-bus/b"],
            ),
            (
                resources::<events::PutEvents>(r#"{"Entries":[{"Source":"s"}]}"#),
                vec!["arn:aws:events:us-east-1:000000000000:event-bus/default"],
            ),
            (
                resources::<events::PutRule>(r#"{"Name":"r","ScheduleExpression":"rate(1 day)"}"#),
                vec!["arn:aws:events:us-east-1:000000000000:rule/r"],
            ),
            (
                resources::<sqs::SendMessage>(r#"{"QueueUrl":"http://h:4566/000000000000/q.fifo","MessageBody":"m"}"#),
                vec!["arn:aws:sqs:us-east-1:000000000000:q.fifo"],
            ),
            (
                resources::<sns::Publish>("Message=m&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A000000000000%3At"),
                vec!["arn:aws:sns:us-east-1:000000000000:t"],
            ),
            (
                resources::<lambda::GetFunction>(
                    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3Alive ",
                ),
                vec!["arn:aws:lambda:us-east-1:000000000000:function:f"],
            ),
            (
                resources::<lambda::GetFunction>("/2015-03-31/functions/000000000000%3Afunction%3Af "),
                vec!["arn:aws:lambda:us-east-1:000000000000:function:f"],
            ),
            (
                resources::<logs::PutLogEvents>(
                    r#"{"logGroupName":"/a/b","logStreamName":"s","logEvents":[{"timestamp":1,"message":"m"}]}"#,
                ),
                vec!["arn:aws:logs:us-east-1:000000000000:log-group:/a/b:log-stream:s"],
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn every_operation_names_an_action_and_a_resource() {
        use crate::{athena, dynamodb, iam, sts};
        let services = [
            ("glue", glue::RIGHTS),
            ("athena", athena::RIGHTS),
            ("dynamodb", dynamodb::RIGHTS),
            ("events", events::RIGHTS),
            ("logs", logs::RIGHTS),
            ("sqs", sqs::RIGHTS),
            ("sns", sns::RIGHTS),
            ("sts", sts::RIGHTS),
            ("iam", iam::RIGHTS),
            ("lambda", lambda::RIGHTS),
        ];
        for (service, rights) in services {
            for (operation, action, resource) in rights {
                let prefix = action.split_once(':').map(|(prefix, _)| prefix);
                assert_eq!(prefix, Some(service), "{operation}");
                let fits = match resource {
                    [super::Part::Text(text), ..] => *text == "*" || text.starts_with(&format!("arn:aws:{service}:")),
                    [super::Part::Input { .. }] => true,
                    _ => false,
                };
                assert!(fits, "{operation}: {resource:?}");
            }
            assert!(!rights.is_empty());
        }
    }

    #[test]
    fn a_list_names_each_resource_once() {
        let found = resources::<glue::BatchGetCrawlers>(r#"{"CrawlerNames":["b","a","b"]}"#);
        assert_eq!(found, ["arn:aws:glue:us-east-1:000000000000:crawler/a", "arn:aws:glue:us-east-1:000000000000:crawler/b"]);
    }
}

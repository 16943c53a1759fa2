//! The page of a function.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use sluice::terraform::function::{Function, Signature};
use sluice::terraform::schema::AttributeType;

use super::{Page, schema};

pub fn page(function: &dyn Function) -> Page {
    let (name, signature) = (function.name(), function.signature());
    let arguments = arguments(signature);
    let description =
        if signature.description.is_empty() { signature.summary } else { signature.description };
    Page {
        path: format!("functions/{name}.md"),
        title: format!("{name} function - Sluice"),
        has_category: true,
        description: signature.summary.to_owned(),
        heading: format!("function: {name}"),
        lead: description.to_owned(),
        sections: vec![("Signature", head(name, signature)), ("Arguments", arguments)],
        blocks: vec![(
            "Example Usage",
            "terraform",
            PathBuf::from("functions").join(name).join("function.tf"),
        )],
    }
}

fn head(name: &str, signature: &Signature) -> String {
    let parameters = signature.parameters.iter();
    let parameters = parameters.map(|parameter| format!("{} {}", parameter.name, word(&parameter.kind)));
    let parameters: Vec<String> = parameters.collect();
    format!("\n```text\n{name}({}) {}\n```\n", parameters.join(", "), word(&signature.returns))
}

/// A type as configurations write it.
fn word(kind: &AttributeType) -> String {
    match kind {
        AttributeType::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let fields: Vec<String> =
                fields.into_iter().map(|(name, kind)| format!("{name} = {}", word(kind))).collect();
            format!("object({{ {} }})", fields.join(", "))
        }
        AttributeType::List(element) => format!("list({})", word(element)),
        other => schema::kind(other).to_lowercase(),
    }
}

fn arguments(signature: &Signature) -> String {
    let mut text = String::from("\n");
    for (index, parameter) in signature.parameters.iter().enumerate() {
        let kind = schema::kind(&parameter.kind);
        let _ = writeln!(text, "{}. `{}` ({kind}) {}", index + 1, parameter.name, parameter.description);
    }
    text
}

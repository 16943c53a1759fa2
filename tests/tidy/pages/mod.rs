//! The published pages have what the registry expects, and say what the schema and the examples say. `make generate`
//! writes those parts anew and begins pages that are missing; the words between them are written by hand.

mod functions;
mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sluice::terraform::Provider as _;
use sluice::terraform::provider::SluiceProvider;
use sluice::terraform::schema::{AttributeConstraint, ResourceSchema};

/// Things that a page can be about.
struct Kind {
    /// Below `docs` and `examples`.
    folder: &'static str,
    word: &'static str,
    example: &'static str,
}

const RESOURCE: Kind = Kind { folder: "resources", word: "Resource", example: "resource.tf" };
const DATA_SOURCE: Kind = Kind { folder: "data-sources", word: "Data Source", example: "data-source.tf" };
const EPHEMERAL_RESOURCE: Kind =
    Kind { folder: "ephemeral-resources", word: "Ephemeral Resource", example: "ephemeral-resource.tf" };
const LIST_RESOURCE: Kind =
    Kind { folder: "list-resources", word: "List Resource", example: "list-resource.tfquery.hcl" };
const ACTION: Kind = Kind { folder: "actions", word: "Action", example: "action.tf" };

/// A page and its generated parts.
struct Page {
    /// Below `docs`.
    path: String,
    title: String,
    /// Categories are for resources and the like, not for the index.
    has_category: bool,
    description: String,
    heading: String,
    /// With which a page begins that is not there yet.
    lead: String,
    /// Sections whose whole text is generated.
    sections: Vec<(&'static str, String)>,
    /// Blocks of code that are files below `examples`: section, language, file.
    blocks: Vec<(&'static str, &'static str, PathBuf)>,
}

#[test]
fn pages_say_what_the_schema_and_the_examples_say() {
    let generates = std::env::var_os("SLUICE_GENERATE").is_some();
    let mut stale = Vec::new();
    for page in pages() {
        let file = root().join("docs").join(&page.path);
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        let after = page.written(&before);
        if before == after {
            continue;
        }
        if generates {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, after).unwrap();
        } else {
            stale
                .push(format!("docs/{} is not what schema and examples say: run `make generate`", page.path));
        }
    }
    super::report(&stale);
}

#[test]
fn every_page_belongs_to_something_that_the_provider_has() {
    let known: BTreeSet<String> = pages().into_iter().map(|page| page.path).collect();
    let mut strangers = Vec::new();
    for folder in
        ["resources", "data-sources", "functions", "ephemeral-resources", "list-resources", "actions"]
    {
        let Ok(entries) = std::fs::read_dir(root().join("docs").join(folder)) else { continue };
        for entry in entries {
            let path = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            if !known.contains(&path) {
                strangers.push(format!("docs/{path} describes nothing that the provider has"));
            }
        }
    }
    super::report(&strangers);
}

/// What the real Terraform of the tests is too old to check.
#[test]
fn examples_of_lists_and_actions_set_what_the_schema_has() {
    let provider = SluiceProvider::new().unwrap();
    let mut examples = Vec::new();
    for list in provider.list_resources() {
        examples.push(("list", &LIST_RESOURCE, list.type_name(), list.schema().clone()));
    }
    for action in provider.actions() {
        examples.push(("action", &ACTION, action.type_name(), action.schema().clone()));
    }
    let mut broken = Vec::new();
    for (block, kind, name, schema) in examples {
        let file = root().join("examples").join(kind.folder).join(name).join(kind.example);
        let text = std::fs::read_to_string(&file).unwrap();
        let place = file.display();
        if !text.contains(&format!("\n{block} \"{name}\" ")) {
            broken.push(format!("{place} has no {block} of `{name}`"));
        }
        let inside = text.split_once("config {").and_then(|(_, rest)| rest.split_once('}'));
        let lines = inside.map_or("", |(inside, _)| inside).lines();
        let set: Vec<&str> = lines.filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
        let attributes = &schema.schema().block.attributes;
        broken.extend(
            set.iter()
                .filter(|set| !attributes.contains_key(**set))
                .map(|set| format!("{place} sets `{set}`, which is no attribute")),
        );
        let needed = attributes.iter().filter(|(_, it)| it.constraint == AttributeConstraint::Required);
        broken.extend(
            needed
                .filter(|(name, _)| !set.contains(&name.as_str()))
                .map(|(name, _)| format!("{place} does not set `{name}`")),
        );
    }
    super::report(&broken);
}

#[test]
fn every_guide_has_a_title_and_a_description() {
    let mut broken = Vec::new();
    for entry in std::fs::read_dir(root().join("docs/guides")).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let head = text.strip_prefix("---\npage_title: \"").and_then(|rest| rest.split_once("\n---\n"));
        let whole = head.is_some_and(|(head, _)| head.contains("\ndescription: |-\n  "));
        if !whole {
            broken.push(format!("{} has no front matter as the registry wants it", file.display()));
        }
    }
    super::report(&broken);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let provider = SluiceProvider::new().unwrap();
    let mut index = Page::of("index.md".to_owned(), "Sluice Provider", provider.schema());
    "Sluice Provider".clone_into(&mut index.title);
    index.has_category = false;
    index.blocks.push(("Example Usage", "terraform", "provider/provider.tf".into()));
    let mut pages = vec![index];
    for resource in provider.resources() {
        pages.push(Page::of_kind(resource.type_name(), resource.schema(), &RESOURCE));
    }
    for source in provider.data_sources() {
        pages.push(Page::of_kind(source.type_name(), source.schema(), &DATA_SOURCE));
    }
    for ephemeral in provider.ephemeral_resources() {
        pages.push(Page::of_kind(ephemeral.type_name(), ephemeral.schema(), &EPHEMERAL_RESOURCE));
    }
    for list in provider.list_resources() {
        pages.push(Page::of_kind(list.type_name(), list.schema(), &LIST_RESOURCE));
    }
    for action in provider.actions() {
        pages.push(Page::of_kind(action.type_name(), action.schema(), &ACTION));
    }
    pages.extend(provider.functions().iter().map(|function| functions::page(function.as_ref())));
    pages
}

impl Page {
    fn of(path: String, heading: &str, schema: &ResourceSchema) -> Self {
        Self {
            path,
            title: String::new(),
            has_category: true,
            description: schema.schema().block.description.content.clone(),
            heading: heading.to_owned(),
            lead: schema.schema().block.description.content.clone(),
            sections: vec![("Schema", schema::section(schema))],
            blocks: Vec::new(),
        }
    }

    /// The page of something that has a schema, with the examples that it needs.
    fn of_kind(name: &str, schema: &ResourceSchema, kind: &Kind) -> Self {
        let Kind { folder, word, example } = kind;
        let short = name.trim_start_matches("sluice_");
        let mut page = Self::of(format!("{folder}/{short}.md"), &format!("{name} ({word})"), schema);
        page.title = format!("{name} {word} - Sluice");
        let examples = PathBuf::from(folder).join(name);
        page.blocks.push(("Example Usage", "terraform", examples.join(example)));
        if *word == RESOURCE.word {
            page.blocks.push(("Import", "terraform", examples.join("import-by-string-id.tf")));
            page.blocks.push(("Import", "shell", examples.join("import.sh")));
        }
        page
    }

    /// The page with its generated parts as they should be.
    fn written(&self, before: &str) -> String {
        let mut text = self.with_front_matter(before);
        for (section, language, file) in &self.blocks {
            let path = root().join("examples").join(file);
            let code = std::fs::read_to_string(&path)
                .unwrap_or_else(|_| panic!("{} is missing: every page has a real example", path.display()));
            text = with_block(&text, section, language, &code);
        }
        for (section, body) in &self.sections {
            text = with_section(&text, section, body);
        }
        text
    }

    fn with_front_matter(&self, before: &str) -> String {
        let category = if self.has_category { "subcategory: \"\"\n" } else { "" };
        let description = self.description.replace('\n', "\n  ");
        let head =
            format!("---\npage_title: \"{}\"\n{category}description: |-\n  {description}\n---\n", self.title);
        match before.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")) {
            Some((_, body)) => format!("{head}{body}"),
            None => format!("{head}\n# {}\n\n{}\n", self.heading, self.lead),
        }
    }
}

/// Where the text of a section begins and ends; the section is added when it is missing.
fn section_of(page: &str, section: &str) -> (String, std::ops::Range<usize>) {
    let heading = format!("\n## {section}\n");
    let page = if page.contains(&heading) { page.to_owned() } else { format!("{page}{heading}") };
    let start = page.find(&heading).unwrap() + heading.len();
    let end = page[start..].find("\n## ").map_or(page.len(), |at| start + at);
    (page, start..end)
}

/// The page with another text below a heading.
fn with_section(page: &str, section: &str, body: &str) -> String {
    let (mut page, range) = section_of(page, section);
    page.replace_range(range, body);
    page
}

/// The page with another first block of code in a language below a heading.
fn with_block(page: &str, section: &str, language: &str, code: &str) -> String {
    let (mut page, range) = section_of(page, section);
    let fence = format!("```{language}\n");
    let Some(at) = page[range.clone()].find(&fence) else {
        page.insert_str(range.end, &format!("\n{fence}{code}```\n"));
        return page;
    };
    let start = range.start + at + fence.len();
    let end = start + page[start..].find("```").unwrap();
    page.replace_range(start..end, code);
    page
}

#[test]
fn generated_parts_are_replaced_and_the_words_between_them_stay() {
    let page = "# A\n\nwords\n\n## Example Usage\n\nmore words\n\n```terraform\nold\n```\n\n## Schema\n\nold\n\n## Z\n";
    let page = with_block(page, "Example Usage", "terraform", "new\n");
    let page = with_section(&page, "Schema", "\nnew\n");
    let page = with_block(&page, "Import", "shell", "import\n");
    let expected = "# A\n\nwords\n\n## Example Usage\n\nmore words\n\n```terraform\nnew\n```\n\n## Schema\n\nnew\n\n## Z\n\n## Import\n\n```shell\nimport\n```\n";
    assert_eq!(page, expected);
}

//! Inserts and removes a provider's section in the text of the configuration file without changing anything else. Pure.

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

/// The table that contains the sections of providers.
const PROVIDERS: &str = "providers";

/// Where a provider's key comes from, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// An environment variable of the daemon.
    Env(String),
    /// The path of a file.
    File(String),
    /// A credential of the daemon's systemd unit.
    Credential(String),
}

/// A model for one service, or for all services without a model of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChoice {
    /// The service; None for all services.
    pub service: Option<String>,
    /// The model's name.
    pub model: String,
}

/// The values of a new section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSection {
    /// The name of the kind.
    pub kind: String,
    /// The name of a program's definition, for the kind `command`.
    pub definition: Option<String>,
    /// The address of the service; None for the kind's default.
    pub base_url: Option<String>,
    /// Where the key comes from; None for a service without keys.
    pub api_key: Option<KeySource>,
    /// The models to use.
    pub models: Vec<ModelChoice>,
    /// The services; empty for those that the kind and the models imply.
    pub services: Vec<String>,
    /// The voice for requests that name none.
    pub voice: Option<String>,
    /// The rank, of which lower ones are asked first; None for the default.
    pub rank: Option<u32>,
    /// `free` or `paid`; None for the kind's default.
    pub billing: Option<String>,
}

impl NewSection {
    fn entries(&self) -> Vec<(&'static str, Item)> {
        let mut entries = vec![("kind", value(&self.kind))];
        let mut text =
            |key, given: &Option<String>| entries.extend(given.as_ref().map(|text| (key, value(text))));
        text("definition", &self.definition);
        text("base_url", &self.base_url);
        entries.extend(self.api_key.as_ref().map(|source| ("api_key", value(key_table(source)))));
        let plain = self.models.iter().find(|choice| choice.service.is_none());
        entries.extend(plain.map(|choice| ("model", value(&choice.model))));
        let by_service: InlineTable = self
            .models
            .iter()
            .filter_map(|choice| Some((choice.service.as_deref()?, Value::from(&choice.model))))
            .collect();
        if !by_service.is_empty() {
            entries.push(("models", value(by_service)));
        }
        if !self.services.is_empty() {
            entries.push(("services", value(self.services.iter().collect::<Array>())));
        }
        entries.extend(self.voice.as_ref().map(|voice| ("voice", value(voice))));
        entries.extend(self.rank.map(|rank| ("rank", value(i64::from(rank)))));
        entries.extend(self.billing.as_ref().map(|billing| ("billing", value(billing))));
        entries
    }
}

fn key_table(source: &KeySource) -> InlineTable {
    let (key, text) = match source {
        KeySource::Env(name) => ("env", name),
        KeySource::File(path) => ("file", path),
        KeySource::Credential(name) => ("credential", name),
    };
    std::iter::once((key, Value::from(text))).collect()
}

/// Whether the file has a provider with this name.
pub fn has(document: &DocumentMut, name: &str) -> bool {
    document
        .get(PROVIDERS)
        .and_then(Item::as_table_like)
        .is_some_and(|providers| providers.contains_key(name))
}

/// Returns the path of the key file that a provider's section names; None if it names no file.
pub fn key_file(document: &DocumentMut, name: &str) -> Option<String> {
    file_of(document.get(PROVIDERS)?.get(name)?)
}

fn file_of(section: &Item) -> Option<String> {
    section.get("api_key")?.get("file")?.as_str().map(str::to_owned)
}

/// Returns the names of the providers whose sections name this key file.
pub fn users_of_key_file(document: &DocumentMut, file: &std::path::Path) -> Vec<String> {
    let providers = document.get(PROVIDERS).and_then(Item::as_table_like);
    let sections = providers.into_iter().flat_map(TableLike::iter);
    sections
        .filter(|(_, section)| file_of(section).is_some_and(|one| std::path::Path::new(&one) == file))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Sets where a provider's key comes from. Returns false if there is no such provider.
pub fn set_key(document: &mut DocumentMut, name: &str, source: &KeySource) -> bool {
    let section = document.get_mut(PROVIDERS).and_then(|providers| providers.get_mut(name));
    let Some(section) = section.and_then(Item::as_table_like_mut) else { return false };
    section.insert("api_key", value(key_table(source)));
    true
}

/// Replaces the section with this name, or appends the section to the file.
pub fn put(document: &mut DocumentMut, name: &str, section: &NewSection) {
    let entries = section.entries();
    let last = positions(document.as_table()).into_iter().max().unwrap_or(-1);
    let mut implicit = Table::new();
    implicit.set_implicit(true);
    if let Some(providers) = document.get_mut(PROVIDERS).and_then(Item::as_inline_table_mut) {
        let inline = entries.into_iter().filter_map(|(key, item)| Some((key, item.into_value().ok()?)));
        providers.insert(name, Value::InlineTable(inline.collect()));
        return;
    }
    let mut table: Table = entries.into_iter().collect();
    let former = document.get(PROVIDERS).and_then(|providers| providers.get(name)).and_then(Item::as_table);
    if let Some(former) = former {
        *table.decor_mut() = former.decor().clone();
        table.set_position(former.position());
    } else {
        // Comments at the end of the file stay before the new section.
        let end = document.trailing().as_str().unwrap_or_default().to_owned();
        let is_first = last < 0 && document.as_table().is_empty() && end.trim().is_empty();
        let gap = if is_first || end.ends_with("\n\n") { "" } else { "\n" };
        table.decor_mut().set_prefix(format!("{end}{gap}"));
        table.set_position(Some(last + 1));
        document.set_trailing("");
    }
    let providers = document.entry(PROVIDERS).or_insert(Item::Table(implicit));
    if let Some(providers) = providers.as_table_like_mut() {
        providers.insert(name, Item::Table(table));
    }
}

/// Removes a provider's section and the comments directly above it. Returns false if there is none.
pub fn remove(document: &mut DocumentMut, name: &str) -> bool {
    let providers = document.get_mut(PROVIDERS).and_then(Item::as_table_like_mut);
    let Some(removed) = providers.and_then(|providers| providers.remove(name)) else { return false };
    if let Some(table) = removed.as_table() {
        // Text that is separated from the section by a blank line belongs to the file and is kept.
        let above = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
        if let Some((kept, _)) = above.rsplit_once("\n\n") {
            let kept = format!("{}\n", kept.trim_end_matches('\n'));
            prepend_after(document, table.position().unwrap_or(-1), &kept);
        }
    }
    true
}

/// Inserts text before the first table after this position, or at the end of the file.
fn prepend_after(document: &mut DocumentMut, position: isize, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    let next = positions(document.as_table()).into_iter().filter(|one| *one > position).min();
    if let Some(table) = next.and_then(|next| at(document.as_table_mut(), next)) {
        let own = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
        table.decor_mut().set_prefix(format!("{text}{own}"));
    } else {
        let end = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing(format!("{text}{end}"));
    }
}

/// Returns the positions of all tables that have their own header.
fn positions(table: &dyn TableLike) -> Vec<isize> {
    let mut found = Vec::new();
    for (_, item) in table.iter() {
        if let Item::Table(inner) = item {
            found.extend(inner.position().filter(|_| !inner.is_implicit()));
            found.extend(positions(inner));
        } else if let Item::ArrayOfTables(tables) = item {
            for inner in tables {
                found.extend(inner.position());
                found.extend(positions(inner));
            }
        }
    }
    found
}

fn at(table: &mut dyn TableLike, position: isize) -> Option<&mut Table> {
    for (_, item) in table.iter_mut() {
        if let Item::Table(inner) = item {
            if inner.position() == Some(position) && !inner.is_implicit() {
                return Some(inner);
            }
            if let Some(found) = at(inner, position) {
                return Some(found);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> NewSection {
        NewSection {
            kind: "openai".to_owned(),
            api_key: Some(KeySource::Env("KEY".to_owned())),
            models: vec![ModelChoice { service: None, model: "m".to_owned() }],
            ..NewSection::default()
        }
    }

    const SECTION: &str = "[providers.x]\nkind = \"openai\"\napi_key = { env = \"KEY\" }\nmodel = \"m\"\n";

    #[test]
    fn a_section_goes_to_the_end_and_leaves_the_rest_as_it_is() {
        for before in [
            "",
            "# only\n# comments\n",
            "# mine\n[tasks] # here\nmax_concurrent = 3   # few\n\n# the end\n",
            "[providers.a]\nkind = 'openai'\n\n[log]\nfilter = 'warn'\n",
            "providers.a.kind = 'openai'\n",
        ] {
            let mut document: DocumentMut = before.parse().unwrap();
            put(&mut document, "x", &section());
            let gap = if before.is_empty() { "" } else { "\n" };
            assert_eq!(document.to_string(), format!("{before}{gap}{SECTION}"));
            assert!(has(&document, "x"));
            assert!(remove(&mut document, "x") && !remove(&mut document, "x"));
            assert_eq!(document.to_string().trim_end(), before.trim_end());
        }
    }

    #[test]
    fn a_section_is_replaced_where_it_is_and_written_inline_among_inline_ones() {
        let mut document: DocumentMut =
            "# one\n[providers.x] # me\nkind='command'\n[providers.x.exit]\n1='quota'\n[log]\n"
                .parse()
                .unwrap();
        put(&mut document, "x", &section());
        let expected = format!("# one\n{}[log]\n", SECTION.replace("x]", "x] # me"));
        assert_eq!(document.to_string(), expected);
        let mut document: DocumentMut = "providers = { a = { kind = \"openai\" } }\n".parse().unwrap();
        put(&mut document, "x", &section());
        let text = document.to_string();
        assert!(
            text.contains("x = { kind = \"openai\", api_key = { env = \"KEY\" }, model = \"m\" }"),
            "{text}"
        );
    }

    #[test]
    fn comments_about_the_file_outlive_its_first_section() {
        for rest in ["[log]\nfilter = 'warn'\n", ""] {
            let text = format!("# about the file\n\n# about x\n[providers.x]\nkind = 'openai'\n{rest}");
            let mut document: DocumentMut = text.parse().unwrap();
            assert!(remove(&mut document, "x"));
            assert_eq!(document.to_string(), format!("# about the file\n{rest}"));
        }
    }
}

//! Every link of the documents leads somewhere: read on GitHub, and in the site that tests/bin/site.sh builds of them.
//! Only files are looked at. Other servers are not asked.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests read files and the environment, fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Links to the repository itself are followed in this tree.
const REPOSITORY: [&str; 3] = ["blob/main/", "tree/main/", "edit/main/"];

fn repository_path(link: &str) -> Option<&str> {
    let rest = link.strip_prefix("https://github.com/backup-ns/backup-ns/")?;
    REPOSITORY.iter().find_map(|kind| rest.strip_prefix(kind))
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

/// The parts of a text between two words.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split_once(end).map(|(link, _)| link))
}

/// A Markdown text without its code blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut kept = String::new();
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The anchors that GitHub gives the headings of a Markdown text: a heading that is there already gets a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in prose(text).lines().filter(|line| line.starts_with('#')) {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut numbered = anchor.clone();
        for number in 1.. {
            if found.insert(numbered) {
                break;
            }
            numbered = format!("{anchor}-{number}");
        }
    }
    found
}

/// The links of a Markdown text: its own, those of HTML in it, and every mention of a file of the repository.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut found: Vec<String> = between(&prose, "](", &[')', ' ']).map(String::from).collect();
    for attribute in ["src=\"", "srcset=\"", "href=\""] {
        found.extend(between(&prose, attribute, &['"']).map(String::from));
    }
    let is_end = |c: char| c.is_whitespace() || "<>()[]\"'`,".contains(c);
    for rest in text.split("https://github.com/").skip(1) {
        let link = rest.split(is_end).next().unwrap_or_default();
        found.push(format!("https://github.com/{}", link.trim_end_matches('.')));
    }
    found
}

/// The links of a text that lead nowhere below the root, and how many were followed.
fn broken(root: &Path, document: &str, text: &str) -> (Vec<String>, usize) {
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for link in links(text) {
        let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let target = match repository_path(path) {
            Some(path) => root.join(path),
            None if link.contains("://") || link.starts_with("mailto:") => continue,
            None if path.is_empty() => root.join(document),
            None => root.join(document).parent().unwrap().join(path),
        };
        followed += 1;
        let is_anchor = |target: &Path| fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor));
        if !normal(&target).starts_with(root) || !target.exists() || (!anchor.is_empty() && !is_anchor(&target)) {
            wrong.push(format!("{document}: {link}"));
        }
    }
    (wrong, followed)
}

/// The documents, and other files for people with links to them.
fn documents() -> Vec<String> {
    let mut names: Vec<String> =
        ["README", "CONTRIBUTING", "SECURITY", "CHANGELOG", "kind/README", "charts/backup-ns/README"]
            .map(|name| format!("{name}.md"))
            .into();
    let others =
        ["charts/backup-ns/Chart.yaml", "charts/backup-ns/README.md.gotmpl", "charts/backup-ns/templates/NOTES.txt"];
    names.extend(others.map(String::from));
    for folder in ["docs", ".github", ".github/ISSUE_TEMPLATE", "charts/backup-ns/files"] {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && [".md", ".yml", ".yaml"].iter().any(|end| name.ends_with(end)) {
                names.push(format!("{folder}/{name}"));
            }
        }
    }
    names
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for document in documents() {
        let text = fs::read_to_string(Path::new(ROOT).join(&document)).unwrap();
        let (faults, count) = broken(Path::new(ROOT), &document, &text);
        wrong.extend(faults);
        followed += count;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(followed > 150, "{followed} links");
}

/// Which lines of docs/compared.md say something about another tool without a link to where that is written.
fn without_source(text: &str) -> Vec<&str> {
    let ours = ["# Compared with other tools", "Together", "What backup-ns does not do", "What was read"];
    let sections = text.split("\n## ").filter(|section| !ours.iter().any(|title| section.starts_with(title)));
    let lines = sections.flat_map(|section| section.lines().filter(|line| line.starts_with("- ")));
    lines.filter(|line| !line.contains("](https://")).collect()
}

#[test]
fn every_statement_about_another_tool_has_a_source() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/compared.md")).unwrap();
    assert_eq!(without_source(&text), [""; 0]);
    let linked = text.lines().filter(|line| line.starts_with("- ") && line.contains("](https://")).count();
    assert!(linked > 20, "{linked} statements");
    assert_eq!(without_source(&text.replace("](https://", "](")).len(), linked);
}

#[test]
fn every_page_is_in_the_list_of_pages() {
    let list = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md")).unwrap();
    for document in documents().iter().filter(|name| name.ends_with(".md") && !name.starts_with('.')) {
        let link = document.strip_prefix("docs/").map_or(format!("../{document}"), String::from);
        assert_eq!(list.matches(&format!("]({link})\n")).count(), usize::from(link != "SUMMARY.md"), "{document}");
    }
}

#[test]
fn a_link_of_a_document_that_leads_nowhere_is_found() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("docs")).unwrap();
    fs::write(root.path().join("README.md"), "# A title\n\n## Twice `x`\n\n## Twice x\n\n```sh\n# no title\n```\n")
        .unwrap();
    let text = "# Here\n[a](../README.md) [b](../README.md#a-title) [c](#here) [d](https://example.com/x#y)
        [e](../README.md#twice-x-1) https://github.com/backup-ns/backup-ns/blob/main/README.md#twice-x.
        [1](../NO.md) [2](../README.md#no-title) [3](#there) [4](../README.md#twice-x-2) [5](../../../etc/passwd)
        <img src=\"no.svg\"> <https://github.com/backup-ns/backup-ns/tree/main/no>
        https://github.com/backup-ns/backup-ns/blob/main/README.md#no";
    fs::write(root.path().join("docs/x.md"), text).unwrap();
    let (wrong, followed) = broken(root.path(), "docs/x.md", text);
    let expected = [
        "../NO.md",
        "../README.md#no-title",
        "#there",
        "../README.md#twice-x-2",
        "../../../etc/passwd",
        "no.svg",
        "https://github.com/backup-ns/backup-ns/tree/main/no",
        "https://github.com/backup-ns/backup-ns/blob/main/README.md#no",
    ];
    assert_eq!(wrong, expected.map(|link| format!("docs/x.md: {link}")));
    assert_eq!(followed, 13);
}

/// A page of the site, by its path in it.
struct Page {
    path: PathBuf,
    text: String,
}

fn pages(folder: &Path, site: &Path) -> Vec<Page> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pages(&path, site));
        } else if path.extension().is_some_and(|end| end == "html") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Page { path: path.strip_prefix(site).unwrap().into(), text });
        }
    }
    found
}

/// The links of a site's pages that lead nowhere in it, and how many were followed.
fn broken_in_site(site: &Path) -> (Vec<String>, usize) {
    let (mut wrong, mut followed) = (Vec::new(), 0);
    let pages = pages(site, site);
    let is_id = |page: &Path, id: &str| {
        let page = pages.iter().find(|other| other.path == page);
        page.is_some_and(|page| between(&page.text, " id=\"", &['"']).any(|found| found == id))
    };
    for page in &pages {
        // The page for what is not found may be shown for any path, so its links begin at the site's address.
        let folder = if page.text.contains("<base href=") { Path::new("") } else { page.path.parent().unwrap() };
        let attributes = [" href=\"", " src=\"", " srcset=\""];
        for link in attributes.iter().flat_map(|attribute| between(&page.text, attribute, &['"'])) {
            let (path, id) = link.split_once('#').unwrap_or((link, ""));
            let is_there = if let Some(path) = repository_path(path) {
                Path::new(ROOT).join(path).exists()
            } else if link.contains("://") || link.starts_with("mailto:") || link.starts_with("/backup-ns/") {
                continue;
            } else {
                let target = if path.is_empty() { page.path.clone() } else { normal(&folder.join(path)) };
                site.join(&target).is_file() && (id.is_empty() || is_id(&target, id))
            };
            followed += 1;
            if !is_there {
                wrong.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    (wrong, followed)
}

#[test]
#[ignore = "needs the site: tests/bin/site.sh runs it"]
fn every_link_of_the_site_leads_somewhere() {
    let (wrong, followed) = broken_in_site(Path::new(&std::env::var("SITE").unwrap()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(followed > 800, "{followed} links");
}

#[test]
fn a_link_of_the_site_that_leads_nowhere_is_found() {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("docs")).unwrap();
    fs::write(site.path().join("index.html"), "<h1 id=\"top\"></h1><a href=\"docs/a.html#b\"></a>").unwrap();
    let text =
        "<h2 id=\"b\"></h2><a href=\"../index.html#top\"></a><img src=\"../no.svg\"><a class=\"x\" href=\"#c\"></a>
        <a href=\"../index.html#no\"></a><a href=\"https://example.com/no\"></a><a href=\"no.html\"></a>
        <a href=\"https://github.com/backup-ns/backup-ns/edit/main/docs/no.md\"></a>";
    fs::write(site.path().join("docs/a.html"), text).unwrap();
    let (mut wrong, followed) = broken_in_site(site.path());
    wrong.sort();
    let edit = "https://github.com/backup-ns/backup-ns/edit/main/docs/no.md";
    assert_eq!(
        wrong,
        ["#c", "../index.html#no", "../no.svg", edit, "no.html"].map(|link| format!("docs/a.html: {link}"))
    );
    assert_eq!(followed, 7);
}

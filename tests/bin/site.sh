#!/bin/sh
# Builds the documents into a site with search, target/site, and follows every link of it; no network is needed for that.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
MDBOOK=0.5.4
repository=https://github.com/backup-ns/backup-ns
stage=target/site-source
site=target/site
say() { echo "site: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}

# Without optimization it is compiled in half the time, and the site is still built in a second.
mdbook=$(tests/bin/cargo-tool.sh mdbook "$MDBOOK" --debug --features search)/mdbook

# The documents keep their places, so that the links between them are right. What else they link to is not part of the
# site: such a link becomes one to the repository. The mark keeps the others from that. mdBook makes index.html of a
# README.md, but does not change the links to it (https://github.com/rust-lang/mdBook/issues/984).
rm -rf "$stage" "$site"
mkdir -p "$stage/theme"
cp docs/site/book.toml docs/site/site.css "$stage"
cp docs/icon.svg "$stage/theme/favicon.svg"
for document in *.md docs/*.md kind/README.md charts/backup-ns/README.md; do
	mkdir -p "$stage/src/$(dirname "$document")"
	sed -E -e 's#\]\(((\.\./)*[^):]*\.(md|svg)(\#[^)]*)?)\)#]\x01(\1)#g' \
		-e 's#\]\((\.\./)*([^):\#]+)\)#]('"$repository"'/blob/main/\2)#g' -e 's/\]\x01/]/g' \
		-e 's#(\]\([^):]*)README\.md#\1index.md#g' "$document" >"$stage/src/$document"
done
cp docs/*.svg "$stage/src/docs"
# The list of pages is at the top there.
sed 's#](#&docs/#; s#(docs/\.\./#(#' docs/SUMMARY.md >"$stage/src/SUMMARY.md"
rm "$stage/src/docs/SUMMARY.md"

"$mdbook" build --dest-dir "$root/$site" "$stage" >"$stage/log" 2>&1 || die "$(cat "$stage/log")"
find "$site" -name '*.html' -exec sed -i 's#/edit/main/src/#/edit/main/#' {} +
! grep -E 'WARN|ERROR' "$stage/log" || die "mdBook warns"
SITE=$root/$site cargo test --locked --quiet --test links -- --ignored --exact every_link_of_the_site_leads_somewhere >"$stage/log" 2>&1 ||
	die "$(cat "$stage/log")"
say "$site/index.html, $(find "$site" -name '*.html' | wc -l) pages"

package arrows_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "letterlock/"

// may is the map: what a package may import of ours. What is not listed does
// not exist. Test files may import anything.
var may = map[string][]string{
	"internal/reply":       {},
	"internal/requiretls":  {"internal/reply"},
	"internal/mail":        {"internal/requiretls"},
	"internal/mime":        {"internal/mail"},
	"internal/wire":        {},
	"internal/deflate":     {},
	"internal/serve":       {"internal/requiretls", "internal/deflate"}, // a connection states the facts its reader is judged by
	"internal/auth":        {},
	"internal/maillog":     {"internal/mail", "internal/requiretls", "internal/reply"},
	"internal/search":      {"internal/mail", "internal/mime"},
	"internal/config":      {},
	"internal/deliver":     {"internal/mail", "internal/mime", "sieve", "internal/reply", "internal/requiretls", "internal/maillog"},
	"internal/managed":     {"sieve"},
	"internal/admin":       {"internal/mail", "internal/requiretls", "storage", "relay", "internal/deliver", "internal/serve", "internal/managed", "internal/reply", "sieve"},
	"lmtp":                 {"internal/mail", "internal/requiretls", "internal/reply", "internal/wire", "internal/serve", "internal/maillog"},
	"storage/seal":         {},
	"storage/disk":         {},
	"storage/segment":      {"internal/mail", "internal/requiretls", "storage/seal", "storage/disk"},
	"storage/kv":           {},
	"storage/kv/sealed":    {"storage/kv", "storage/seal"},
	"storage/kv/bolt":      {"storage/kv", "storage/disk"},
	"storage/kv/journal":   {"storage/kv", "storage/disk"},
	"storage":              {"internal/mail", "internal/requiretls", "internal/search", "internal/reply", "storage/disk", "storage/segment", "storage/seal", "storage/kv", "storage/kv/bolt", "storage/kv/journal", "storage/kv/sealed"},
	"imapd/syntax":         {"internal/mail", "internal/wire"},                                                                      // the grammar, both ways
	"imapd/query":          {"imapd/syntax", "storage", "internal/mail", "internal/mime", "internal/search", "internal/requiretls"}, // search, sort, threads
	"imapd":                {"imapd/syntax", "imapd/query", "storage", "internal/mail", "internal/mime", "internal/search", "internal/wire", "internal/serve", "internal/auth", "internal/requiretls", "internal/maillog"},
	"sieve":                {"internal/mime"},
	"sieve/managesieve":    {"sieve", "internal/wire", "internal/serve", "internal/auth", "internal/maillog"},
	"relay":                {"internal/mail", "internal/mime", "internal/requiretls", "internal/reply", "internal/wire", "internal/maillog"},
	"internal/conformance": {"internal/mail"},
	"internal/arrows":      {},
}

// everything may be imported by the room that builds the others.
const builder = "cmd/letterlock"

// forTests is imported by tests alone.
var forTests = []string{"internal/testnet", "internal/arrows", "internal/bench", "internal/dialogue", "imapd/releasetest", "storage/powercut"}

// source is one Go package of the repository as it lies on disk.
type source struct {
	dir     string // from the root, with slashes
	files   map[string]*ast.File
	comment bool
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func packages(t *testing.T) map[string]*source {
	t.Helper()
	top := root(t)
	all := map[string]*source{}
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || file != top && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go"):
			return nil
		}
		rel, _ := filepath.Rel(top, filepath.Dir(file))
		dir := filepath.ToSlash(rel)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		p := all[dir]
		if p == nil {
			p = &source{dir: dir, files: map[string]*ast.File{}}
			all[dir] = p
		}
		p.files[filepath.Base(file)] = parsed
		if parsed.Doc != nil && strings.Contains(parsed.Doc.Text(), " ") && !strings.HasSuffix(file, "_test.go") {
			p.comment = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestArrows(t *testing.T) {
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("found %d packages below %s: not the repository", len(all), root(t))
	}
	for dir, p := range all {
		allowed, known := may[dir]
		if !known && dir != builder && !slices.Contains(forTests, dir) {
			t.Errorf("%s is not on the map", dir)
			continue
		}
		for name, f := range p.files {
			if strings.HasSuffix(name, "_test.go") || dir == builder {
				continue
			}
			for _, spec := range f.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				ours, isOurs := strings.CutPrefix(imported, module)
				if isOurs && !slices.Contains(allowed, ours) && !slices.Contains(forTests, dir) {
					t.Errorf("%s/%s imports %s: no such arrow", dir, name, ours)
				}
				if isOurs && slices.Contains(forTests, ours) {
					t.Errorf("%s/%s imports %s, which is for tests", dir, name, ours)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for dir, p := range packages(t) {
		if !p.comment {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

var duty = regexp.MustCompile(`(?m)^//\t.*\S\s+(§[\d.]+)\s+(\S+\.go)$`)

// The table in requiretls' package comment names a file for each duty of
// RFC 8689; the file must still cite the section.
func TestDutiesAreCitedWhereTheyAreUpheld(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(root(t), "internal/requiretls/doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	duties := duty.FindAllStringSubmatch(string(table), -1)
	if len(duties) < 10 {
		t.Fatalf("read %d duties out of the table", len(duties))
	}
	for _, d := range duties {
		section, file := d[1], d[2]
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(file)))
		if err != nil {
			t.Errorf("RFC 8689 %s: %v", section, err)
			continue
		}
		if !cites(string(text), section) {
			t.Errorf("%s does not cite RFC 8689 %s", path.Clean(file), section)
		}
	}
}

// cites wants the RFC and the section in the same file; §4.2.1 does not count as §4.2.
func cites(text, section string) bool {
	return strings.Contains(text, "RFC 8689") &&
		regexp.MustCompile(regexp.QuoteMeta(section)+`([^.\d]|\.[^\d]|$)`).MatchString(text)
}

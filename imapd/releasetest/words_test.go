package releasetest

import (
	"bufio"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"letterlock/imapd"
	"letterlock/imapd/syntax"
)

// syntaxFiles reads the source of the grammar that the server has.
func syntaxFiles(t *testing.T) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob("../syntax/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sources of the grammar: %v", err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// texts is the string literals below a node.
func texts(n ast.Node) (list []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				list = append(list, text)
			}
		}
		return true
	})
	return list
}

// serverCommands is the keys of the map in which the server's grammar looks a
// command up.
func serverCommands(t *testing.T) (list []string) {
	t.Helper()
	for _, file := range syntaxFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Names[0].Name != "commands" {
				return true
			}
			for _, pair := range spec.Values[0].(*ast.CompositeLit).Elts {
				list = append(list, texts(pair.(*ast.KeyValueExpr).Key)...)
			}
			return false
		})
	}
	if len(list) < 30 {
		t.Fatalf("read but %d commands out of the grammar's source: %q", len(list), list)
	}
	slices.Sort(list)
	return list
}

// TestEveryCommandOfTheServerIsWalked: a command that the server learns has to be
// learnt here.
func TestEveryCommandOfTheServerIsWalked(t *testing.T) {
	want := serverCommands(t)
	for _, name := range want {
		if commands[name] == nil {
			t.Errorf("the server knows %s, and it is not walked", name)
		}
	}
	for name, g := range commands {
		if !slices.Contains(want, name) {
			t.Errorf("%s is walked, and the server does not know it", name)
		}
		for _, sentence := range g.walk() {
			if nameOf(sentence) != name {
				t.Fatalf("%q stands under %s", sentence, name)
			}
		}
	}
}

var keyword = regexp.MustCompile(`^[-+]?[A-Z][A-Z0-9.=-]+$`)

// spoken is a word in a command. UTF8=ACCEPT is one, SECTION=TEXT is two.
var spoken = regexp.MustCompile(`[-+]?[0-9A-Z](UTF8=ACCEPT|[0-9A-Z.-])*`)

// saidOtherwise is words that stand in no sentence: a client says DONE to end IDLE.
var saidOtherwise = []string{"DONE"}

// walked is every sentence of the walk, in capitals.
func walked() string {
	var all strings.Builder
	for _, name := range names() {
		for _, sentence := range commands[name].walk() {
			all.WriteString(strings.ToUpper(sentence) + "\n")
		}
	}
	return all.String()
}

// TestEveryWordOfTheGrammarIsWalked: so does every item, key, option and modifier
// that a command has. The words are the literals in capitals in all that reads
// commands: methods, and tables.
func TestEveryWordOfTheGrammarIsWalked(t *testing.T) {
	said, known := map[string]bool{}, 0
	for _, word := range spoken.FindAllString(walked(), -1) {
		for _, end := range []string{"", ".PEEK", ".SILENT"} {
			said[strings.TrimSuffix(word, end)] = true
		}
		if _, afterPart, ok := strings.Cut(word, "."); ok && word[0] <= '9' { // 1.MIME
			said[afterPart] = true
		}
	}
	for _, file := range syntaxFiles(t) {
		for _, d := range file.Decls {
			if f, isFunc := d.(*ast.FuncDecl); isFunc && f.Recv == nil {
				continue // writes what the server says
			}
			for _, text := range texts(d) {
				if !keyword.MatchString(text) || slices.Contains(saidOtherwise, text) {
					continue
				}
				if known++; !said[text] {
					t.Errorf("the grammar has %s, and no command that is walked says it", text)
				}
			}
		}
	}
	if known < 150 {
		t.Errorf("found but %d words in the source of the grammar", known)
	}
}

// walkedBy says what is said where a capability is used; those whose name is said
// need no line.
var walkedBy = map[string]string{
	"IMAP4rev1": "LSUB", "LOGINDISABLED": "LOGIN", "AUTH": "AUTHENTICATE", "SASL-IR": "AUTHENTICATE PLAIN ", "LITERAL+": "+}\r\n",
	"LIST-EXTENDED": "RECURSIVEMATCH", "LIST-STATUS": "RETURN (STATUS", "CREATE-SPECIAL-USE": "(USE", "STATUS=SIZE": "DELETED SIZE",
	"UIDPLUS": "UID EXPUNGE", "SEARCHRES": "RETURN (SAVE", "WITHIN": "YOUNGER", "BINARY": "BINARY.PEEK[", "MULTIAPPEND": ") (\\FLAGGED) \"05-MAR-2026", "URL-PARTIAL": ";PARTIAL=",
	"SORT=DISPLAY": "DISPLAYFROM", "ESORT": "SORT RETURN (COUNT", "THREAD=ORDEREDSUBJECT": "THREAD ORDEREDSUBJECT", "THREAD=REFERENCES": "THREAD REFERENCES", "THREAD=REFS": "THREAD REFS",
	"CONTEXT=SEARCH": "SEARCH RETURN (UPDATE", "CONTEXT=SORT": "SORT RETURN (UPDATE", "PARTIAL": " (PARTIAL -1:-4 CHANGEDSINCE", "FILTERS": "FILTER WET", "MULTISEARCH": "ESEARCH IN", "SEARCH=FUZZY": "FUZZY ",
	"SAVEDATE": "SAVEDSINCE", "OBJECTID": "THREADID", "COMPRESS=DEFLATE": "COMPRESS DEFLATE", "QUOTA": "GETQUOTA", "QUOTA=RES-STORAGE": "(STORAGE", "QUOTA=RES-MESSAGE": "(MESSAGE", "QUOTA=RES-MAILBOX": "(MAILBOX", "QUOTASET": "SETQUOTA",
	"METADATA": "GETMETADATA INBOX", "METADATA-SERVER": "/PRIVATE/FILTERS", "I18NLEVEL=1": "CHARSET UTF-8", "INPROGRESS": "SEARCH",
}

// TestEveryCapabilityIsWalked: nor may the server offer what is not walked.
func TestEveryCapabilityIsWalked(t *testing.T) {
	all := walked()
	for _, c := range imapd.Capabilities {
		used, known := walkedBy[c.Name]
		if !known {
			used = strings.ToUpper(c.Name)
		}
		if !strings.Contains(all, used) {
			t.Errorf("the server offers %s, and no command that is walked says %q", c.Name, used)
		}
	}
}

// TestWalkedCommandsAreOfTheGrammar: what the server could not read would prove
// nothing.
func TestWalkedCommandsAreOfTheGrammar(t *testing.T) {
	for _, name := range names() {
		for _, sentence := range commands[name].walk() {
			if err := read(placeholders.Replace(sentence)); err != nil {
				t.Errorf("%q: %v", sentence, err)
			}
		}
	}
}

// placeholders is something for every name that hangs on the account.
var placeholders = strings.NewReplacer("<seq>", "2", "<oseq>", "3", "<uid>", "2", "<ouid>", "3", "<validity>", "7", "<vault>", "1", "<inbox>", "2", "<email>", "m1", "<oemail>", "m2",
	"<thread>", "t1", "<othread>", "t2", "<me>", "me@example.org", "<modseq>", "5")

// read reads one command as the server does, with its messages.
func read(command string) error {
	d := syntax.NewDecoder(line{bufio.NewReader(strings.NewReader("a " + command + "\r\n"))}, func() error { return errors.New("it waits for leave to send a literal") })
	d.SetLimits(syntax.Known(1 << 20))
	cmd, err := d.Next()
	if err != nil {
		return err
	}
	a, _ := cmd.Args.(*syntax.Append)
	if r, ok := cmd.Args.(*syntax.Replace); ok {
		a = r.Append
	}
	for more := a != nil; more && err == nil; {
		more, err = a.Next()
	}
	return err
}

// line is a connection as the decoder wants it.
type line struct{ *bufio.Reader }

func (l line) Line(int) ([]byte, error) {
	octets, err := l.ReadBytes('\n')
	return []byte(strings.TrimSuffix(string(octets), "\r\n")), err
}

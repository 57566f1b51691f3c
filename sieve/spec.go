package sieve

// Extension is one extension of the language: what `require` names, and the
// commands, tests, tags and values it adds. Built-in ones are made of nothing
// else. Extensions are read when an engine is made and must not change then.
type Extension struct {
	Name     string   // the capability string, as in require (RFC 5228 §6.1)
	Implies  []string // extensions that are in effect where this one is
	Commands []Spec   // control and action commands: Spec.Compile
	Tests    []Spec   // tests: Spec.Test
	Tags     []TagFor // tags for commands and tests of others

	Comparator *Comparator    // for :comparator; Name is then "comparator-" and its name
	Envelope   []EnvelopePart // more parts for the envelope test
	Namespace  *Namespace     // variables ${name.…} of its own

	// Remark is said of every require that names it, such as what it cannot do
	// here; empty: nothing.
	Remark string

	// Lexical says that it changes how strings are read: it has no effect when
	// named by ihave (RFC 5463 §4).
	Lexical bool
}

// Spec declares a command or a test: what arguments it takes, and how it is
// compiled. The checker reads nothing else.
type Spec struct {
	Name     string // lower case
	Args     []Param
	Tags     []Tag
	Groups   Groups   // tags shared with other specs
	Subtests Subtests // tests as its last argument
	Block    bool     // a block as its last argument

	// Compile makes the code of a command, Test that of a test; one of them is
	// set. Both may report several mistakes with [Call.Fail]; an error they
	// return is reported at the call.
	Compile func(*Call) (Op, error)
	Test    func(*Call) (Predicate, error)
}

// Op is a compiled command.
type Op func(*Runtime) (Flow, error)

// Predicate is a compiled test.
type Predicate func(*Runtime) (bool, error)

// Flow is where a run goes on behind a command.
type Flow uint8

const (
	Next   Flow = iota // to the next command
	Stop               // nowhere: the run has ended
	Return             // behind the include that started this script (RFC 6609 §3.3)
	Leave              // behind the block that [Runtime.Leave] named
)

// Param is a positional argument. Optional ones may be left out; which were is
// seen by counting.
type Param struct {
	Name     string // as an error message names it
	Kind     ArgKind
	Optional bool
	Const    bool // variables may not be used in it (RFC 5229 §3)
}

// Subtests says how many tests a command or test takes as its last argument.
type Subtests uint8

const (
	NoTests Subtests = iota
	OneTest
	TestList // at least one
)

// Groups are sets of tags that many specs have in common. An extension adds to
// a group by naming it in [TagFor.On].
type Groups uint8

const (
	MatchTags   Groups = 1 << iota // :is, :contains, :matches, :comparator, …; see Call.Matcher
	AddressTags                    // :all, :localpart, :domain, …; see Call.AddressPart
)

// Names of the groups for [TagFor.On].
const (
	AnyMatch   = "(match)"
	AnyAddress = "(address)"
)

var groupNames = []struct {
	group Groups
	name  string
}{{MatchTags, AnyMatch}, {AddressTags, AnyAddress}}

// TagFor adds a tag to a spec of another extension, or to a group of specs.
type TagFor struct {
	On string // name of a command or test, or AnyMatch, AnyAddress
	Tag
}

// Tag is a tagged argument.
type Tag struct {
	Name  string // lower case, without colon
	Arg   ArgKind
	Const bool     // its argument may not use variables
	Class string   // a call takes one tag of a class: "match type"
	With  []string // only beside one of these tags
	Not   []string // not beside any of these

	Match    *MatchType                    // the tag is a match type
	Part     func(*Address) (string, bool) // the tag is an address part; false: nothing to match
	Modifier *Modifier                     // the tag is a modifier of set

	// Check is called when a call with this tag is compiled.
	Check func(*Call, *TagValue) error
	// Apply is called when a command with this tag has made its action, before
	// the action is added: this is how :copy or :flags change what others define.
	Apply func(*Runtime, Action, *TagValue) error
}

// TagValue is a tag as it stands in a script.
type TagValue struct {
	*Tag
	Pos     Pos
	String  String
	Strings []String
	Number  uint64
	ext     *extension
}

// EnvelopePart is a value of the envelope that the envelope test reads.
type EnvelopePart struct {
	Name    string                                   // lower case
	Address bool                                     // address parts such as :domain make sense
	Values  func(rt *Runtime, dst []string) []string // appended to dst
}

// Namespace is a set of variables ${name.…} that an extension provides. The
// part behind the first dot is handed over in lower case.
type Namespace struct {
	Name string
	Get  func(rt *Runtime, variable string) (string, bool)
	Set  func(rt *Runtime, variable, value string) error // nil: read only
	// Valid says at compile time whether the variable can exist; nil: always.
	Valid func(variable string) bool
}

// Modifier changes a value before set stores it (RFC 5229 §4.1); those of
// higher precedence come first, one of each precedence.
type Modifier struct {
	Precedence int
	Apply      func(string) string
}

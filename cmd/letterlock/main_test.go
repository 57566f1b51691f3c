package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"letterlock/internal/testnet"
)

// TestMain lets the test binary be two other programs: letterlock itself, which
// the scripts and the tests run as processes of their own, and a crowd that
// opens connections.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"letterlock": main,
		"crowd":      crowd,
	})
}

// Every script is a story of an admin at a terminal. Beside testscript's own
// commands there are:
//
//	serve [ARG…]       letterlock serve ARG… beside the script, until ready; $LMTP,
//	                   $IMAP, $IMAPS, $SIEVE and $ADMIN are where; its standard output goes
//	                   to file serve.out
//	signal NAME        sends TERM, HUP or KILL to it
//	logged TEXT        waits until its log has a further line with TEXT
//	ended CODE         waits for its end, which must be with this exit code
//	dial NAME ADDR     opens a connection, dialtls one inside TLS
//	talk NAME FILE     plays a dialogue on it: C: lines are sent, S: lines are
//	                   awaited, as regular expressions; TLS starts it
//	hangup NAME        closes it
//	get URL TEXT       what HTTP GET answers has TEXT in it
//	damage GLOB TEXT   changes an octet of the one file, where it says TEXT last, or its
//	                   whole beginning where TEXT is left out
//	mailhost NAME [WORD…]       opens a mail host that offers WORDs inside TLS; $MAILHOST is its
//	                   port, $DNS a resolver that knows it, outside.pem proves it
//	offers NAME [WORD…]         changes what it offers
//	wants NAME USER PASSWORD    changes the login it wants
//	took NAME ENVELOPE [TEXT]   it has taken a letter whose "<from> <to> PARAMETERS" match the
//	                   regular expression, and TEXT in it; $SENDER is who it is from
//	fill FILE          replaces $NAMES in it
//	certificate DIR NAME DAYS   writes cert.pem and key.pem in DIR for NAME
func TestScripts(t *testing.T) {
	internet := testnet.New(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[stageKey{}] = &stage{dir: env.WorkDir, lines: map[string]*line{}, outside: internet, hosts: map[string]*testnet.Host{}}
			env.Setenv("NO_COLOR", "1")
			env.Defer(env.Values[stageKey{}].(*stage).clear)
			return os.Chmod(env.WorkDir, 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":       onStage((*stage).serve),
			"signal":      onStage((*stage).signal),
			"logged":      onStage((*stage).logged),
			"ended":       onStage((*stage).ended),
			"dial":        onStage((*stage).dial),
			"dialtls":     onStage((*stage).dialTLS),
			"talk":        onStage((*stage).talk),
			"hangup":      onStage((*stage).hangup),
			"get":         onStage((*stage).get),
			"damage":      onStage((*stage).damage),
			"certificate": onStage((*stage).certificate),
			"mailhost":    onStage((*stage).mailhost),
			"offers":      onStage((*stage).offers),
			"wants":       onStage((*stage).wants),
			"took":        onStage((*stage).took),
			"fill":        onStage((*stage).fill),
		},
	})
}

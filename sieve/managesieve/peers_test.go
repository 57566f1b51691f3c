package managesieve_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// theirScript is what the clients of others keep and read back.
const theirScript = "require \"fileinto\";\r\n# kept as it is  \r\nfileinto \"Lists\";\r\n"

func lookFor(t *testing.T, program, pack string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install %s", program, pack)
	}
	return path
}

// peerFile is a file with the script, in a folder of the test's own.
func peerFile(t *testing.T) (dir, name string) {
	t.Helper()
	dir = t.TempDir()
	name = filepath.Join(dir, "main.sieve")
	if err := os.WriteFile(name, []byte(theirScript), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, name
}

func sameScript(t *testing.T, got []byte) {
	t.Helper()
	if strings.TrimRight(string(got), "\r\n") != strings.TrimRight(theirScript, "\r\n") {
		t.Errorf("read back %q, want %q", got, theirScript)
	}
}

// readBack compares what a client wrote to a file.
func readBack(t *testing.T, name string) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	sameScript(t, got)
}

// keptNone wants ann without scripts.
func (h *house) keptNone() {
	h.t.Helper()
	if list, err := h.scripts.List(h.t.Context(), 1); err != nil || len(list) != 0 {
		h.t.Errorf("afterwards: %v, %v; want nothing", list, err)
	}
}

// sieve-connect of Debian puts, checks, activates, lists and reads back a script
// over STARTTLS.
func TestSieveConnect(t *testing.T) {
	program := lookFor(t, "sieve-connect", "sieve-connect")
	h := openHouse(t)
	dir, here := peerFile(t)
	back := filepath.Join(dir, "back.sieve")
	_, port, _ := strings.Cut(h.plain.String(), ":")
	connect := func(args ...string) string {
		t.Helper()
		common := []string{"--server", "localhost", "--port", port, "-4", "--user", "ann@example.org", "--tlscafile", h.CAFile, "--passwordfd", "0"}
		cmd := exec.Command(program, append(common, args...)...)
		cmd.Stdin = strings.NewReader(secret + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	connect("--checkscript", "--localsieve", here)
	connect("--upload", "--localsieve", here, "--remotesieve", "main")
	connect("--activate", "--remotesieve", "main")
	if got := connect("--list"); !strings.Contains(got, `"main" ACTIVE`) {
		t.Errorf("listed:\n%s\nwant main, active", got)
	}
	connect("--download", "--remotesieve", "main", "--localsieve", back)
	readBack(t, back)
	connect("--deactivate")
	connect("--delete", "--remotesieve", "main")
	h.keptNone()
}

// sievelib of Debian's Python does the same.
func TestSievelib(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import sievelib.managesieve").Run(); err != nil {
		t.Skip("sievelib is not installed: apt-get install python3-sievelib")
	}
	h := openHouse(t)
	got := h.plays(t, python, `import sys
from sievelib.managesieve import Client

port, password, file = sys.argv[1:]
text = open(file, newline="").read()
c = Client("localhost", int(port))
def want(ok, what):
    if not ok:
        sys.exit("%s: %r %r" % (what, c.errcode, c.errmsg))
want(c.connect("ann@example.org", password, starttls=True, authmech="PLAIN"), "connect")
want(c.havespace("main", len(text)), "havespace")
want(not c.checkscript("file into;"), "a script with a mistake is taken")
want(c.putscript("main", text), "putscript")
want(c.setactive("main"), "setactive")
want(c.listscripts() == ("main", []), "listscripts")
sys.stdout.buffer.write(c.getscript("main").encode())
want(c.renamescript("main", "other"), "renamescript")
want(c.setactive(""), "deactivate")
want(c.deletescript("other"), "deletescript")
c.logout()
`)
	sameScript(t, []byte(strings.ReplaceAll(string(got), "\n", "\r\n")))
	h.keptNone()
}

// Net::ManageSieve of Debian's Perl, which tries the first mechanism alone, does the
// same.
func TestNetManageSieve(t *testing.T) {
	const perl = "/usr/bin/perl"
	if err := exec.Command(perl, "-MNet::ManageSieve", "-MAuthen::SASL", "-e", "1").Run(); err != nil {
		t.Skip("Net::ManageSieve is not installed: apt-get install libnet-managesieve-perl libauthen-sasl-perl")
	}
	h := openHouse(t)
	got := h.plays(t, perl, `use strict;
use Net::ManageSieve;
my ($port, $password, $file) = @ARGV;
open my $in, "<:raw", $file or die $!;
my $text = do { local $/; <$in> };
my $c = Net::ManageSieve->new("localhost", Port => $port, tls => "require") or die "connect: $@";
sub want { my ($ok, $what) = @_; $ok or die "$what: " . $c->error . "\n" }
want($c->login('ann@example.org', $password), "login");
want($c->havespace("main", length $text), "havespace");
want(!$c->putscript("main", "file into;"), "a script with a mistake is taken");
want($c->putscript("main", $text), "putscript");
want($c->setactive("main"), "setactive");
want(join(" ", @{$c->listscripts}) eq "main main", "listscripts"); # the last is the active one
print $c->getscript("main");
want($c->setactive(""), "deactivate");
want($c->deletescript("main"), "deletescript");
$c->logout;
`)
	sameScript(t, got)
	h.keptNone()
}

// plays has a program of a client play a story, with the port, a password and the file
// of a script, and answers what it printed.
func (h *house) plays(t *testing.T, program, story string) []byte {
	t.Helper()
	dir, here := peerFile(t)
	_, port, _ := strings.Cut(h.plain.String(), ":")
	file := filepath.Join(dir, "story")
	if err := os.WriteFile(file, []byte(story), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, file, port, secret, here)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+h.CAFile)
	var said strings.Builder
	cmd.Stderr = &said
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return got
}

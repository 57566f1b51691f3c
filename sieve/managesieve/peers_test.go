package managesieve_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sieve-connect of Debian puts, checks, activates, lists and reads back a script
// over STARTTLS.
func TestSieveConnect(t *testing.T) {
	program, err := exec.LookPath("sieve-connect")
	if err != nil {
		t.Skip("sieve-connect is not installed: apt-get install sieve-connect")
	}
	h := openHouse(t)
	dir := t.TempDir()
	here, back := filepath.Join(dir, "main.sieve"), filepath.Join(dir, "back.sieve")
	script := "require \"fileinto\";\r\n# kept as it is  \r\nfileinto \"Lists\";\r\n"
	if err := os.WriteFile(here, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(h.plain, ":")
	connect := func(args ...string) string {
		t.Helper()
		common := []string{"--server", "localhost", "--port", port, "-4", "--user", "ann@example.org", "--tlscafile", h.ca, "--passwordfd", "0"}
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
	if got, err := os.ReadFile(back); err != nil || strings.TrimRight(string(got), "\r\n") != strings.TrimRight(script, "\r\n") {
		t.Errorf("read back %q, %v; want %q", got, err, script)
	}
	connect("--deactivate")
	connect("--delete", "--remotesieve", "main")
	if list, err := h.scripts.List(t.Context(), 1); err != nil || len(list) != 0 {
		t.Errorf("afterwards: %v, %v; want nothing", list, err)
	}
}

package releasetest

import (
	"letterlock/imapd"
	"letterlock/internal/serve"
)

// hide makes every listener one that hides tagged mail, where the setup says so:
// but the one of client certificates, through which the tester looks.
func hide(o *imapd.Options, s setup) {
	if s.hides {
		o.Hide = func(e serve.Endpoint) bool { return e.ClientCA == "" }
	}
}

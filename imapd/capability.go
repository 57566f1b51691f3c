package imapd

import (
	"fmt"
	"strings"

	"letterlock/imapd/syntax"
)

// Capability is one extension we offer.
type Capability struct {
	Name string
	RFC  string
	when func(*session) bool
}

func always(*session) bool         { return true }
func afterLogin(s *session) bool   { return s.login != "" }
func beforeLogin(s *session) bool  { return s.login == "" }
func canStartTLS(s *session) bool  { return s.login == "" && s.conn.CanStartTLS() }
func passwordsOff(s *session) bool { return s.login == "" && !s.passwords() }

// Capabilities is what we offer, each only because it is complete.
var Capabilities = []Capability{
	{"IMAP4rev2", "9051", always},
	{"IMAP4rev1", "3501", always},
	{"STARTTLS", "9051 §6.2.1", canStartTLS},
	{"LOGINDISABLED", "9051 §6.2.3", passwordsOff},
	{"AUTH", "4422, 4616, 5802", beforeLogin}, // one for each mechanism
	{"SASL-IR", "4959", beforeLogin},
	{"ID", "2971", always},
	{"ENABLE", "5161", always},
	{"LITERAL+", "7888", always},
	{"IDLE", "2177", always},
	{"NAMESPACE", "2342", afterLogin},
	{"CHILDREN", "3348", afterLogin},
	{"LIST-EXTENDED", "5258", afterLogin},
	{"LIST-STATUS", "5819", afterLogin},
	{"SPECIAL-USE", "6154", afterLogin},
	{"CREATE-SPECIAL-USE", "6154 §3", afterLogin},
	{"STATUS=SIZE", "8438", afterLogin},
	{"UIDPLUS", "4315", afterLogin},
	{"UNSELECT", "3691", afterLogin},
	{"MOVE", "6851", afterLogin},
	{"ESEARCH", "4731", afterLogin},
	{"SEARCHRES", "5182", afterLogin},
	{"WITHIN", "5032", afterLogin},
	{"BINARY", "3516", afterLogin},
	{"UTF8=ACCEPT", "6855", afterLogin},
	{"MULTIAPPEND", "3502", afterLogin},
	{"CATENATE", "4469", afterLogin},
	{"URL-PARTIAL", "5550 §5.7.1", afterLogin},
	{"REPLACE", "8508", afterLogin},
	{"SAVEDATE", "8514", afterLogin},
	{"OBJECTID", "8474", afterLogin},
	{"PREVIEW", "8970", afterLogin},
	{"UNAUTHENTICATE", "8437", afterLogin},
	{"QUOTA", "9208", afterLogin},
	{"QUOTA=RES-STORAGE", "9208 §5.1", afterLogin},
	{"QUOTA=RES-MESSAGE", "9208 §5.2", afterLogin},
	{"QUOTA=RES-MAILBOX", "9208 §5.3", afterLogin},
	{"QUOTASET", "9208 §4.1.3", (*session).setsQuota},
	{"METADATA", "5464", afterLogin},
	{"METADATA-SERVER", "5464", afterLogin},
	{"I18NLEVEL=1", "5255 §4.3", afterLogin},
	{"APPENDLIMIT", "7889", afterLogin},
}

// capabilities is the list for this state of the session (RFC 9051 §7.2.2).
func (s *session) capabilities() string {
	var names []string
	for _, c := range Capabilities {
		if !c.when(s) {
			continue
		}
		switch c.Name {
		case "AUTH":
			names = append(names, s.offers()...)
		case "APPENDLIMIT":
			names = append(names, fmt.Sprintf("APPENDLIMIT=%d", s.srv.opt.MaxMessage))
		default:
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, " ")
}

// enable turns on what changes our answers (RFC 9051 §6.3.1): what we do not
// know, or what needs no enabling, is passed over.
func (s *session) enable(a *syntax.Enable) (answer, error) {
	enabled := "* ENABLED"
	for _, name := range a.Caps {
		switch name {
		case "IMAP4REV2":
			s.mode |= syntax.Rev2
			s.rev2 = true
			enabled += " IMAP4rev2"
		case "UTF8=ACCEPT":
			s.mode |= syntax.UTF8Accept
			enabled += " UTF8=ACCEPT"
		case "CONDSTORE":
			s.beAware()
			enabled += " CONDSTORE"
		case "QRESYNC":
			s.beAware()
			s.qresync = true
			enabled += " QRESYNC"
		}
	}
	s.d.SetMode(s.mode)
	s.putString(enabled + "\r\n")
	return answer{}, nil
}

// identify answers ID (RFC 2971): who we are, to everybody the same.
func (s *session) identify(a *syntax.ID) (answer, error) {
	for _, p := range a.Params {
		if strings.EqualFold(p.Name, "name") {
			s.log.Debug("client", "name", p.Value)
		}
	}
	s.putString("* ID (\"name\" \"Letterlock\")\r\n")
	return answer{}, nil
}

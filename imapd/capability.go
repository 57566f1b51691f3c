package imapd

import (
	"context"
	"fmt"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// Capability is one extension we offer.
type Capability struct {
	Name   string
	RFC    string
	Limits string // what a person should know of it, one line; usually empty
	when   func(*session) bool
}

func always(*session) bool         { return true }
func afterLogin(s *session) bool   { return s.login != "" }
func beforeLogin(s *session) bool  { return s.login == "" }
func canCompress(s *session) bool  { return afterLogin(s) && !s.conn.Compressed() }
func passwordsOff(s *session) bool { return s.login == "" && !s.passwords() }
func canStartTLS(s *session) bool  { return s.login == "" && s.conn.CanStartTLS() } // RFC 9051 §6.2.1

// Capabilities is what we offer, each only because it is complete.
var Capabilities = []Capability{
	{"IMAP4rev2", "9051", "", always},
	{"IMAP4rev1", "3501", "", always},
	{"STARTTLS", "9051 §6.2.1", "before login, where there is a certificate", canStartTLS},
	{"LOGINDISABLED", "9051 §6.2.3", "where no password may come in clear", passwordsOff},
	{"AUTH", "4422, 4616, 5802", "one for each mechanism that the connection allows", beforeLogin},
	{"SASL-IR", "4959", "", beforeLogin},
	{"ID", "2971", "30 fields; the answer is our name alone", always},
	{"ENABLE", "5161", "", always},
	{"LITERAL+", "7888", fmt.Sprintf("%d KiB of literals in one command, messages aside", syntax.Known(0).Literals>>10), always},
	{"IDLE", "2177", "half an hour of silence ends it", always},
	{"NAMESPACE", "2342", "one's own mailboxes", afterLogin},
	{"CHILDREN", "3348", "", afterLogin},
	{"LIST-EXTENDED", "5258", "256 patterns", afterLogin},
	{"LIST-STATUS", "5819", "", afterLogin},
	{"SPECIAL-USE", "6154", "tied to the entry /private/specialuse; set there, a use is that of one mailbox", afterLogin},
	{"CREATE-SPECIAL-USE", "6154 §3", "one use a mailbox", afterLogin},
	{"STATUS=SIZE", "8438", "", afterLogin},
	{"UIDPLUS", "4315", "", afterLogin},
	{"UNSELECT", "3691", "", afterLogin},
	{"MOVE", "6851", "atomic by steps of 100,000 messages; COPY whole up to 250,000", afterLogin},
	{"ESEARCH", "4731", "256 texts in one search, 5 minutes", afterLogin},
	{"SEARCHRES", "5182", "", afterLogin},
	{"WITHIN", "5032", "", afterLogin},
	{"BINARY", "3516", "messages with NUL are not stored (UNKNOWN-CTE)", afterLogin},
	{"UTF8=ACCEPT", "6855", "", afterLogin},
	{"MULTIAPPEND", "3502", "1,000 messages, 32 of them above 1 MiB, 256 MiB together, 8 MiB of headers and structure in memory", afterLogin},
	{"CATENATE", "4469", "1,000 parts of one's own messages", afterLogin},
	{"URL-PARTIAL", "5550 §5.7.1", "", afterLogin},
	{"REPLACE", "8508", "what replaces a REQUIRETLS message is required itself", afterLogin},
	{"CONDSTORE", "7162 §3.1", "one mod-sequence a message", afterLogin},
	{"QRESYNC", "7162 §3.2", "expunges are remembered for some thousand changes of a mailbox", afterLogin},
	{"SORT", "5256", "", afterLogin},
	{"SORT=DISPLAY", "5957", "", afterLogin},
	{"ESORT", "5267 §3", "", afterLogin},
	{"THREAD=ORDEREDSUBJECT", "5256", "", afterLogin},
	{"THREAD=REFERENCES", "5256", "", afterLogin},
	{"THREAD=REFS", "5256", "threads by their newest message", afterLogin},
	{"CONTEXT=SEARCH", "5267 §4", fmt.Sprintf("%d results, %d KiB together, kept up to date in a session as long as that takes no more than %v", maxContexts, maxContextOctets>>10, updateTime), afterLogin},
	{"CONTEXT=SORT", "5267 §4", "", afterLogin},
	{"PARTIAL", "9394", "", afterLogin},
	{"FILTERS", "5466", "kept as metadata of the server", afterLogin},
	{"MULTISEARCH", "7377", "", afterLogin},
	{"SEARCH=FUZZY", "6203", "", afterLogin},
	{"NOTIFY", "5465", fmt.Sprintf("32 groups; all events but AnnotationChange; names of metadata up to %d KiB", maxWatched>>10), afterLogin},
	{"SAVEDATE", "8514", "", afterLogin},
	{"OBJECTID", "8474", "", afterLogin},
	{"PREVIEW", "8970", "200 characters, made at delivery", afterLogin},
	{"UNAUTHENTICATE", "8437", "unless imap.unauthenticate = false", (*session).unauthenticates},
	{"COMPRESS=DEFLATE", "4978", "once, until UNAUTHENTICATE ends it", canCompress},
	{"QUOTA", "9208", "one root: the account's address", afterLogin},
	{"QUOTA=RES-STORAGE", "9208 §5.1", "", afterLogin},
	{"QUOTA=RES-MESSAGE", "9208 §5.2", "", afterLogin},
	{"QUOTA=RES-MAILBOX", "9208 §5.3", fmt.Sprintf("%d mailboxes", storage.MaxMailboxes), afterLogin},
	{"QUOTASET", "9208 §4.1.3", "for who may set quota", (*session).setsQuota},
	{"METADATA", "5464", fmt.Sprintf("values of %d KiB, 1,000 entries and 1 MiB a mailbox", storage.MaxAnnotation>>10), afterLogin},
	{"METADATA-SERVER", "5464", "/shared is the administrator's", afterLogin},
	{"I18NLEVEL=1", "5255 §4.3", "i;unicode-casemap", afterLogin},
	{"INPROGRESS", "9585", "searches and changes of many messages, every 2 seconds", afterLogin},
	{"APPENDLIMIT", "7889", "octets of one message", afterLogin},
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
func (s *session) enable(ctx context.Context, a *syntax.Enable) (answer, error) {
	enabled := "* ENABLED"
	var metadata syntax.Events
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
		case "METADATA":
			metadata |= syntax.EventMailboxMetadataChange | syntax.EventServerMetadataChange
			enabled += " METADATA"
		case "METADATA-SERVER":
			metadata |= syntax.EventServerMetadataChange
			enabled += " METADATA-SERVER"
		}
	}
	s.d.SetMode(s.mode)
	s.putString(enabled + "\r\n")
	return answer{}, s.enableMetadata(ctx, metadata)
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

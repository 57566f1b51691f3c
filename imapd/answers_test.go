package imapd

import (
	"strings"
	"testing"

	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// TestAnswersAreForgottenBeforeTheyAreTooMany: those that somebody asks for stay.
func TestAnswersAreForgottenBeforeTheyAreTooMany(t *testing.T) {
	t.Parallel()
	var a answers
	text := strings.Repeat("x", maxAnswer)
	wanted := asked{question: 1, uid: 1}
	a.put(wanted, remembered{text: text})
	const n = 8 * maxRemembered / maxAnswer
	for uid := range storage.UID(n) {
		a.put(asked{question: 2, uid: uid}, remembered{text: text})
		if _, found := a.get(wanted); !found {
			t.Fatalf("after %d others it was forgotten", uid+1)
		}
		if held := (len(a.young) + len(a.old)) * (maxAnswer + besidesAnAnswer); held > 2*maxRemembered {
			t.Fatalf("%d octets are held, want at most %d", held, 2*maxRemembered)
		}
	}
	if _, found := a.get(asked{question: 2, uid: 0}); found {
		t.Error("the first of all others is still there")
	}
}

// TestQuestionsAreBounded: whoever asks for ever new things makes the others be
// read anew, and no more.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	var a answers
	seen := make(map[uint64]bool)
	for i := range 3 * maxQuestions {
		q := question{account: 1, mailbox: storage.MailboxID(i), form: "BODY"}
		if n := a.number(q); n != 0 {
			t.Fatalf("question %d was asked once and has number %d", i, n)
		}
		n := a.number(q)
		if n == 0 || seen[n] {
			t.Fatalf("question %d has number %d, want one that no other has", i, n)
		}
		if seen[n] = true; len(a.questions) > maxQuestions {
			t.Fatalf("%d questions are known, want at most %d", len(a.questions), maxQuestions)
		}
	}
}

// TestRequireTLSAnswersAreNotSharedWithSessionsInClear: the vault knows more of a
// message's demand than the index, and lets a session in clear have what it says
// itself, never what it said to another (RFC 8689 §4.4).
func TestRequireTLSAnswersAreNotSharedWithSessionsInClear(t *testing.T) {
	t.Parallel()
	srv := new(Server)
	numbers := make(map[uint64]bool)
	for _, tls := range []bool{true, false} {
		f := &fetching{s: &session{srv: srv, box: &mailbox{}, gate: gate{reader: requiretls.Reader{TLS: tls}}}}
		f.items = []fetchItem{f.prepare(&syntax.FetchItem{Kind: syntax.FetchBodyStructure})}
		for range 2 { // the first time it is only noted
			numbers[f.question()] = true
		}
	}
	if len(numbers) != 3 || !numbers[0] {
		t.Errorf("the questions are %v, want 0 and one for each kind of session", numbers)
	}
}
